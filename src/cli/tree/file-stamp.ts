import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { BitsError, type ByteSource } from '../../index.js';
import { checkedFileSource } from '../../internal.js';

/** What tells whether a file is still the one that was looked at. */
export type FileStamp = Pick<BigIntStats, 'size' | 'mtimeNs' | 'ctimeNs' | 'dev' | 'ino'>;

/** A file as it was found. */
export interface FoundFile {
  /** Absolute. */
  readonly path: string;
  readonly stamp: FileStamp;
}

/** Whether a file is the same one, with the same content. */
export function isUnchanged(stamp: FileStamp, stats: FileStamp): boolean {
  if (stats.size !== stamp.size || stats.mtimeNs !== stamp.mtimeNs) return false;
  // Some file systems number a file anew from time to time. No program can set the time of the change.
  return hasSameInode(stamp, stats) || stats.ctimeNs === stamp.ctimeNs;
}

/**
 * A file of a tree in which links are not followed. It may be replaced after the directory was read, but
 * not by a link, nor a directory above it: that could lead to a file that is not in the tree.
 */
export function sourceWithoutLinks(
  root: string,
  segments: readonly string[],
  stamp: FileStamp,
): ByteSource {
  return checkedFileSource(join(root, ...segments), async (opened) => {
    if (opened === undefined || !hasSameInode(stamp, opened)) await assertNoLinks(root, segments);
  });
}

function hasSameInode(a: FileStamp, b: FileStamp): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** @throws BITS_ERR_SOURCE_CHANGED */
async function assertNoLinks(root: string, segments: readonly string[]): Promise<void> {
  let path = root;
  for (const name of segments) {
    path = join(path, name);
    const stats = await lstat(path).catch(() => undefined);
    if (!stats?.isSymbolicLink()) continue;
    throw new BitsError(
      'BITS_ERR_SOURCE_CHANGED',
      `${path} was replaced by a symbolic link after its directory was read: run the command again, ` +
        'which leaves links out unless --follow-links is given.',
    );
  }
}
