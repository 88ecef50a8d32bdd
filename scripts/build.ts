import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BuildOptions, build, transform } from 'esbuild';
import { SUBPATHS } from './subpaths.js';

const manifest = JSON.parse(await readFile('package.json', 'utf8'));
const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
const entries = Object.values(SUBPATHS).map((module) => `src/${module}.ts`);

// Finding and reading two hundred modules takes longer than running them. What several entries use is
// split off rather than copied: `instanceof BitsError` must hold across them.
const shared = {
  outbase: 'src',
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // What else src uses is bundled: small packages, most of which Jest could not load with `require`.
  external: dependencies,
  metafile: true,
} satisfies BuildOptions;

await rm('dist', { recursive: true, force: true });
const esModules = await build({ ...shared, entryPoints: [...entries, 'src/cli/main.ts'] });

// esbuild splits ES modules only: each of them is made a CommonJS module afterwards.
const commonJs = await build({
  ...shared,
  entryPoints: entries,
  outExtension: { '.js': '.cjs' },
  write: false,
});
/** What packages that need not be there are loaded with: of a `require` bundlers warn. */
const OPTIONAL_IMPORT = 'import(/* webpackIgnore: true */ /* @vite-ignore */ ';
for (const { path, text } of commonJs.outputFiles) {
  const marked = text.replace(
    /import\(\s*\/\* webpackIgnore[^)]*\*\/\s*(?=\w+)/,
    'optionalImport(',
  );
  const { code } = await transform(marked, {
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    define: { 'import.meta.url': '__filename' },
    // Jest gives `import()` to nobody who has not set a flag.
    supported: { 'dynamic-import': false },
  });
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, code.replace('optionalImport(', OPTIONAL_IMPORT));
}

const bundled = new Set<string>();
for (const path of Object.keys({ ...esModules.metafile.inputs, ...commonJs.metafile.inputs })) {
  const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
  if (name !== undefined) bundled.add(name);
}
const licences: string[] = [];
for (const name of [...bundled].sort()) {
  const files = await readdir(join('node_modules', name));
  const file = files.find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) throw new Error(`${name} is bundled, but has no licence`);
  licences.push(`${name}\n\n${await readFile(join('node_modules', name, file), 'utf8')}`);
}
await writeFile('dist/bundled-licences.txt', licences.join('\n---\n\n'));
