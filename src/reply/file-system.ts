import type { Stats } from 'node:fs';
import type * as nodeFs from 'node:fs/promises';
import { unlessMissing } from '../common/error-like.js';

/** The file system calls that a reply needs; replaced by tests to make them fail. */
export type ReplyFileSystem = Pick<
  typeof nodeFs,
  'link' | 'lstat' | 'open' | 'rename' | 'stat' | 'unlink'
>;

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
