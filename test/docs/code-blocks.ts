import { readFile } from 'node:fs/promises';

/** The JavaScript of a document, or its TypeScript, block by block. */
export async function codeBlocks(file: string, language: 'js' | 'ts' = 'js'): Promise<string[]> {
  const text = await readFile(file, 'utf8');
  const blocks = text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'));
  return [...blocks].map(([, code]) => code ?? '');
}

const AsyncFunction = (async () => {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => Promise<unknown>;

/** Runs a block with what its imports stand for. */
export function runCode(code: string, scope: Readonly<Record<string, unknown>>): Promise<unknown> {
  const body = code.replace(/^import .*$/gm, '');
  return new AsyncFunction(...Object.keys(scope), body)(...Object.values(scope));
}
