import { readFile } from 'node:fs/promises';

/** The JavaScript of a document, block by block. */
export async function codeBlocks(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8');
  return [...text.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code ?? '');
}

const AsyncFunction = (async () => {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => Promise<unknown>;

/** Runs a block with what its imports stand for. */
export function runCode(code: string, scope: Readonly<Record<string, unknown>>): Promise<unknown> {
  const body = code.replace(/^import .*$/gm, '');
  return new AsyncFunction(...Object.keys(scope), body)(...Object.values(scope));
}
