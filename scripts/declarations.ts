import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { SUBPATHS } from './subpaths.js';

/** Declarations by their paths; those of the command line are among them. */
const declarations = new Map<string, string>();
for (const name of await readdir('dist', { recursive: true })) {
  if (!name.endsWith('.d.ts')) continue;
  const path = resolve('dist', name);
  declarations.set(path, await readFile(path, 'utf8'));
}

/** Where in the text of a declaration the names of other ones are. */
function relativeImports(text: string): ts.FileReference[] {
  const { importedFiles } = ts.preProcessFile(text);
  return importedFiles.filter(({ fileName }) => fileName.startsWith('.'));
}

/** What the subpaths need. */
const needed = new Set<string>();
function need(path: string): void {
  const text = declarations.get(path);
  if (text === undefined) throw new Error(`${path} is missing`);
  if (needed.has(path)) return;
  needed.add(path);
  for (const { fileName } of relativeImports(text)) {
    need(join(path, '..', fileName.replace(/\.js$/, '.d.ts')));
  }
}
for (const module of Object.values(SUBPATHS)) need(resolve('dist', `${module}.d.ts`));

for (const [path, text] of declarations) {
  if (!needed.has(path)) await rm(path);
  else await writeFile(path.replace(/\.ts$/, '.cts'), forCommonJs(text));
}

/** To TypeScript a module is what its suffix says, and so is each module that it imports. */
function forCommonJs(text: string): string {
  let result = text;
  for (const { fileName, pos } of relativeImports(text).toReversed()) {
    const nameAt = text.indexOf(fileName, pos);
    const suffixAt = nameAt + fileName.length - '.js'.length;
    result = `${result.slice(0, suffixAt)}.cjs${result.slice(nameAt + fileName.length)}`;
  }
  return result;
}
