import { randomBytes } from 'node:crypto';
import { constants, fsync } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { codeOf } from './error-like.js';
import { whenFree } from './when-free.js';

const TEMP_SUFFIX = /\.[0-9a-f]{16}\.tmp$/;

/** A writer takes milliseconds; a day allows for a file server whose clock is wrong. */
const TEMP_AGE_MS = 24 * 3_600_000;

const MAX_REMOVED_AT_ONCE = 100;

/** The new content; the new or the old one, whole; or, with `nothing`, it may be neither. */
export type AfterPowerCut = 'new' | 'new-or-old' | 'nothing';

export interface ReplaceOptions {
  /**
   * What a power cut leaves.
   * @default 'new'
   */
  readonly afterPowerCut?: AfterPowerCut;
}

/**
 * Puts content in place of a file, readable for its owner alone: whatever happens, the old content
 * is there or the new one, never a mixture.
 */
export async function replaceFile(
  path: string,
  content: string,
  { afterPowerCut = 'new' }: ReplaceOptions = {},
): Promise<void> {
  // A name that nobody can foretell, and no link that somebody put there is followed.
  const temp = `${path}.${randomBytes(8).toString('hex')}.tmp`;
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
  const handle = await open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      // Writes all, in several steps where the disk takes less at once.
      await handle.writeFile(content);
      if (afterPowerCut !== 'nothing') await syncFile(handle);
    } finally {
      await handle.close();
    }
    await whenFree(() => rename(temp, path));
  } catch (error) {
    await unlink(temp).catch(() => {});
    throw error;
  }
  if (afterPowerCut === 'new') await syncDirectory(dirname(path));
}

/** What says that bytes did not reach the disk; any other failure says that there is no such sync. */
const NOT_STORED = new Set(['EIO', 'ENOSPC', 'EDQUOT']);

/** Makes the content of a file survive a power cut, where the system can do that. */
export async function syncFile(handle: FileHandle): Promise<void> {
  await unlessUnsupported(async () => {
    try {
      await handle.sync();
    } catch (error) {
      if (codeOf(error) !== undefined) throw error;
      // Under Yarn PnP a FileHandle has no sync; under `node --permission` only a FileHandle has it.
      await promisify(fsync)(handle.fd);
    }
  });
}

/** Makes the names in a directory survive a power cut, where the system can do that: Windows cannot. */
export async function syncDirectory(directory: string): Promise<void> {
  await unlessUnsupported(async () => {
    const handle = await open(directory, constants.O_RDONLY);
    try {
      await syncFile(handle);
    } finally {
      await handle.close();
    }
  });
}

async function unlessUnsupported(sync: () => Promise<void>): Promise<void> {
  try {
    await sync();
  } catch (error) {
    if (NOT_STORED.has(codeOf(error) ?? '')) throw error;
  }
}

/**
 * Removes what killed writers left of `replaceFile`, once it is old; some of it, when it is a lot.
 * @param names what is in the directory
 */
export async function removeOldTempFiles(
  directory: string,
  names: readonly string[],
): Promise<void> {
  const left = names.filter((name) => TEMP_SUFFIX.test(name)).slice(0, MAX_REMOVED_AT_ONCE);
  for (const name of left) {
    const path = join(directory, name);
    try {
      const { uid, mtimeMs } = await lstat(path);
      const isOurs = process.geteuid === undefined || uid === process.geteuid();
      // A time in the future is that of a clock that has been set back since.
      if (isOurs && Math.abs(Date.now() - mtimeMs) > TEMP_AGE_MS) await unlink(path);
    } catch {
      // It does no harm but the space it takes.
    }
  }
}
