import type { Stats } from 'node:fs';
import type * as nodeFs from 'node:fs/promises';

/** The file system calls that a reply needs; replaced by tests to make them fail. */
export type ReplyFileSystem = Pick<
  typeof nodeFs,
  'access' | 'link' | 'lstat' | 'open' | 'rename' | 'stat' | 'unlink'
>;

export function errorCode(error: unknown): string {
  return String((error as NodeJS.ErrnoException | undefined)?.code ?? 'no code');
}

export async function unlessMissing<T>(pending: Promise<T>): Promise<T | undefined> {
  try {
    return await pending;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether this user made a file; always true on Windows, which has other ways to tell. */
export function isOwn({ uid }: Pick<Stats, 'uid'>): boolean {
  return process.geteuid === undefined || uid === process.geteuid();
}

/** Whether two names are of one regular file that this user made. */
export async function isSameFile(fs: ReplyFileSystem, a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all(
    [a, b].map((path) => unlessMissing(fs.lstat(path, { bigint: true }))),
  );
  if (first === undefined || second === undefined) return false;
  if (!first.isFile() || !isOwn({ uid: Number(first.uid) })) return false;
  return first.ino === second.ino && first.dev === second.dev;
}

/**
 * Node's permission model forbids fsync whatever was allowed, and a reply that may be lost in a power
 * cut is better than none.
 */
export async function syncFile(handle: nodeFs.FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    if (errorCode(error) !== 'ERR_ACCESS_DENIED') throw error;
  }
}

// What a directory answers that cannot be opened or synced, on file systems that need no sync of it.
const NOT_SYNCABLE = new Set([
  'EACCES',
  'EINVAL',
  'EISDIR',
  'ENOTSUP',
  'EPERM',
  'ERR_ACCESS_DENIED',
]);

/** Makes names in a directory durable, where the system can. */
export async function syncDirectory(fs: ReplyFileSystem, directory: string): Promise<void> {
  try {
    const handle = await fs.open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!NOT_SYNCABLE.has(errorCode(error))) throw error;
  }
}
