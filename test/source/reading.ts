import { Buffer } from 'node:buffer';
import { readdir, readlink, stat } from 'node:fs/promises';
import { isBitsError } from '../../src/errors.js';

/** All bytes of an iteration, or of its first pieces; leaves it as a `break` does. */
export async function collect(
  pieces: AsyncIterable<Uint8Array>,
  maxPieces = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const copies: Uint8Array[] = [];
  for await (const piece of pieces) {
    // Not slice(): that of a Buffer is no copy.
    copies.push(Uint8Array.from(piece));
    if (copies.length >= maxPieces) break;
  }
  return Buffer.concat(copies);
}

/** The error of a promise, which must be one of the package; undefined when it resolves. */
export async function errorOf(promise: unknown) {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (isBitsError(error)) return error;
    throw error;
  }
}

export async function codeOf(promise: unknown) {
  return (await errorOf(promise))?.code;
}

/** What a process has open under a directory; undefined where the system does not tell. */
export async function openFilesUnder(
  directory: string,
  pid: number | 'self' = 'self',
): Promise<string[] | undefined> {
  return (await openUnder(directory, pid))?.map(({ target }) => target);
}

export async function openFileSizesUnder(
  directory: string,
  pid: number | 'self' = 'self',
): Promise<number[] | undefined> {
  const files = await openUnder(directory, pid);
  // Through the descriptor: a file without a name has no other path.
  return files && Promise.all(files.map(async ({ link }) => (await stat(link)).size));
}

async function openUnder(directory: string, pid: number | 'self') {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => undefined);
  const links = descriptors?.map((fd) => `${folder}/${fd}`);
  const files = await Promise.all(
    // The descriptor of the listing itself is gone by now.
    links?.map(async (link) => ({ link, target: await readlink(link).catch(() => '') })) ?? [],
  );
  return links && files.filter(({ target }) => target.startsWith(directory));
}
