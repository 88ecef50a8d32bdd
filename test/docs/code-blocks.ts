import { readFile } from 'node:fs/promises';
import { blocksOf } from './pages.js';

/** The JavaScript of a document, or its TypeScript, block by block. */
export async function codeBlocks(file: string, language: 'js' | 'ts' = 'js'): Promise<string[]> {
  const blocks = blocksOf({ file, text: await readFile(file, 'utf8') });
  return blocks.filter((block) => block.language === language).map(({ code }) => code);
}

const AsyncFunction = (async () => {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => Promise<unknown>;

/** Runs a block with what its imports stand for. */
export function runCode(code: string, scope: Readonly<Record<string, unknown>>): Promise<unknown> {
  const body = code.replace(/^import .*$/gm, '');
  return new AsyncFunction(...Object.keys(scope), body)(...Object.values(scope));
}
