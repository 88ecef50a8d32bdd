import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

/**
 * What users import, and the module of src that gives it. A new subpath is a line here; then
 * `npm run subpaths` writes it into package.json, and the build and the tests know it.
 */
export const SUBPATHS: Readonly<Record<string, string>> = {
  '.': 'index',
  './bullmq': 'bullmq',
  './cli-events': 'cli-events',
  './electron': 'electron',
  './testing': 'testing/index',
  './store-contract': 'store/contract',
};

/** The fields of package.json that lead to the files of the subpaths. */
export function entryFields() {
  const entries = Object.entries(SUBPATHS);
  const main = `./dist/${SUBPATHS['.']}`;
  return {
    // For those who do not read `exports`, as TypeScript with moduleResolution node10.
    main: `${main}.cjs`,
    types: `${main}.d.cts`,
    typesVersions: {
      '*': Object.fromEntries(
        entries.slice(1).map(([name, module]) => [name.slice(2), [`./dist/${module}.d.cts`]]),
      ),
    },
    exports: {
      ...Object.fromEntries(
        entries.map(([name, module]) => [
          name,
          {
            import: { types: `./dist/${module}.d.ts`, default: `./dist/${module}.js` },
            require: { types: `./dist/${module}.d.cts`, default: `./dist/${module}.cjs` },
          },
        ]),
      ),
      './package.json': './package.json',
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const manifest = JSON.parse(await readFile('package.json', 'utf8'));
  await writeFile(
    'package.json',
    `${JSON.stringify({ ...manifest, ...entryFields() }, undefined, 2)}\n`,
  );
}
