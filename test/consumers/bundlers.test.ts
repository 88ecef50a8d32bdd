import { cp, readdir, rm } from 'node:fs/promises';
import { expect } from 'chai';
import { asPut, COMMON_JS, describePackage, ES_MODULE, expectResume, Project } from './project.js';

const { execPath } = process;

/** How a bundler makes one program of an entry; what it prints must hold no warning. */
interface Bundler {
  readonly packages: readonly string[];
  /** The name of the file or folder that holds the bundle is given as `out`. */
  readonly bundle: (entry: string, out: string) => readonly string[];
  /** Files that it needs. */
  readonly files?: Readonly<Record<string, string>>;
  /** In the folder `out`. */
  readonly made: string;
}

const bin = (name: string) => `node_modules/.bin/${name}`;

const esbuild = (format: string, made: string, ...more: readonly string[]): Bundler => ({
  packages: ['esbuild@0.28'],
  bundle: (entry, out) => [
    bin('esbuild'),
    entry,
    '--bundle',
    '--platform=node',
    `--format=${format}`,
    `--outfile=${out}/${made}`,
    ...more,
  ],
  made,
});

/** undici and others are CommonJS, whose `require` of Node's modules an ES module has to bring. */
const BANNER =
  "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);";

const BUNDLERS: Readonly<Record<string, Bundler>> = {
  'esbuild as an ES module': esbuild('esm', 'app.mjs', `--banner:js=${BANNER}`),
  'esbuild as CommonJS': esbuild('cjs', 'app.cjs'),
  rollup: {
    packages: [
      'rollup@4',
      '@rollup/plugin-node-resolve@16',
      '@rollup/plugin-commonjs@29',
      '@rollup/plugin-json@6',
    ],
    files: {
      'rollup.config.mjs': `import commonjs from '@rollup/plugin-commonjs';
        import json from '@rollup/plugin-json';
        import resolve from '@rollup/plugin-node-resolve';
        export default { plugins: [resolve({ preferBuiltins: true }), commonjs({ ignore: ['node:sqlite'] }), json()] };`,
    },
    bundle: (entry, out) => [
      bin('rollup'),
      '--config',
      'rollup.config.mjs',
      '--input',
      entry,
      '--dir',
      out,
      '--entryFileNames',
      'app.mjs',
    ],
    made: 'app.mjs',
  },
  webpack: {
    packages: ['webpack@5', 'webpack-cli@7'],
    files: {
      'webpack.config.cjs': `module.exports = {
        mode: 'production',
        target: 'node',
        optimization: { minimize: false },
        output: { filename: 'app.cjs' },
      };`,
    },
    bundle: (entry, out) => [
      bin('webpack'),
      '--config',
      'webpack.config.cjs',
      '--entry',
      `./${entry}`,
      '--output-path',
      out,
    ],
    made: 'app.cjs',
  },
  vite: {
    packages: ['vite@8'],
    files: {
      'vite.config.mjs': `export default {
        ssr: { noExternal: true },
        build: { minify: false, rollupOptions: { output: { entryFileNames: 'app.mjs' } } },
      };`,
    },
    bundle: (entry, out) => [bin('vite'), 'build', '--ssr', entry, '--outDir', out],
    made: 'app.mjs',
  },
  ncc: {
    packages: ['@vercel/ncc@0.45'],
    bundle: (entry, out) => [bin('ncc'), 'build', entry, '--out', out],
    made: 'index',
  },
};

describePackage('the package in a bundle', () => {
  for (const [name, { packages, bundle, files = {}, made }] of Object.entries(BUNDLERS)) {
    it(`of ${name} resumes after a kill, and so does its command line`, async function () {
      const project = await Project.create();
      await project.install(this, ...packages);
      for (const [file, text] of Object.entries(files)) await project.write(file, text);
      // The programs of the bundles are on their own.
      const alone = await Project.create();
      const entries = {
        'app.mjs': ES_MODULE,
        'app.cjs': COMMON_JS,
        'cli.mjs': `import './node_modules/bits-upload/dist/cli/main.js';`,
      };
      for (const [entry, text] of Object.entries(entries)) {
        await project.write(entry, text);
        const [command = '', ...args] = bundle(entry, `out/${entry}`);
        const printed = await project.run(project.path(command), args);
        expect(printed).to.not.match(/warn|critical|unresolved/i);
        const folder = project.path('out', entry);
        await cp(folder, alone.path(entry), { recursive: true });
      }
      await rm(project.path('node_modules'), { recursive: true });
      for (const entry of Object.keys(entries)) {
        const names = await readdir(alone.path(entry));
        const program = names.find((each) => each.startsWith(made)) ?? made;
        const args = entry === 'cli.mjs' ? asPut : undefined;
        await expectResume(alone, [execPath, alone.path(entry, program)], args);
      }
    });
  }
});
