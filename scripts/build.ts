import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

await rm('dist', { recursive: true, force: true });

// Finding and reading two hundred modules takes longer than running them. What several entries use is
// split off rather than copied: `instanceof BitsError` must hold across them.
await build({
  // They land where `exports` and `bin` of package.json look for them.
  entryPoints: [
    'src/index.ts',
    'src/electron.ts',
    'src/bullmq.ts',
    'src/testing/index.ts',
    'src/store/contract.ts',
    'src/cli/main.ts',
  ],
  outbase: 'src',
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  sourcemap: true,
});
