import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../common/atomic-file.js';
import { codeOf, unlessMissing } from '../common/error-like.js';
import { whenFree } from '../common/when-free.js';
import { BitsStoreError } from '../errors.js';

const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/**
 * The files of one user: whoever else could write them could have any file of this user uploaded or
 * replaced, and could read its tokens.
 *
 * Windows has no such owners; there the permissions of the directory are the user's affair.
 */
export class OwnFiles {
  readonly #euid: number | undefined;

  /** @param trustsAll for network shares, some of which show one owner for everything */
  constructor(trustsAll = false) {
    this.#euid = trustsAll ? undefined : process.geteuid?.();
  }

  /** Makes a directory for its owner alone; an existing one keeps its mode. */
  async ensureDirectory(directory: string): Promise<void> {
    if (await this.checkDirectory(directory)) return;
    const made = await makeDirectories(directory);
    if (made !== undefined) await syncDirectory(dirname(made));
    await this.checkDirectory(directory);
  }

  /**
   * Checks that nobody else can add, remove or rename what is in a directory that may be missing.
   * @returns false when it is missing
   * @throws BITS_ERR_STORE with the reason `foreign`
   */
  async checkDirectory(directory: string): Promise<boolean> {
    const found = await unlessMissing(stat(directory));
    if (found === undefined) return false;
    if (this.#euid === undefined) return true;
    // The superuser could do anything anyway; with the sticky bit others can only add files.
    if (found.uid !== this.#euid && found.uid !== 0) {
      throw foreign(
        directory,
        `it belongs to another user (uid ${found.uid}), who could have your files uploaded. Keep ` +
          'the records in another directory',
      );
    }
    if ((found.mode & WRITABLE_BY_OTHERS) !== 0 && (found.mode & STICKY) === 0) {
      throw foreign(
        directory,
        'other users can write to it, and could have your files uploaded. Run chmod 700 on it, or ' +
          'keep the records in another directory',
      );
    }
    return true;
  }

  /**
   * Opens a regular file of this user; never waits, and follows no link.
   * @returns undefined when there is none
   * @throws BITS_ERR_STORE with the reason `foreign`
   */
  async open(path: string, flags: number): Promise<FileHandle | undefined> {
    try {
      return await unlessMissing(this.#open(path, flags));
    } catch (error) {
      throw codeOf(error) === 'ELOOP' ? foreign(path, 'it is a symbolic link') : error;
    }
  }

  /**
   * Reads a small file.
   * @returns undefined when there is none; of a file that is larger, one byte more than `maxBytes`
   * @throws BITS_ERR_STORE with the reason `foreign`
   */
  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const handle = await this.open(path, constants.O_RDONLY);
    if (handle === undefined) return undefined;
    try {
      const { size } = await handle.stat();
      const buffer = Buffer.alloc(Math.min(size, maxBytes) + 1);
      let length = 0;
      for (let bytesRead = -1; bytesRead !== 0 && length < buffer.length; length += bytesRead) {
        ({ bytesRead } = await handle.read(buffer, length, buffer.length - length, length));
      }
      return buffer.subarray(0, length);
    } finally {
      await handle.close();
    }
  }

  async #open(path: string, flags: number): Promise<FileHandle> {
    // Before it is opened: to open a device may have an effect, and Windows has no O_NOFOLLOW.
    this.#check(path, await lstat(path));
    // Without O_NONBLOCK, a pipe that somebody put there since would be waited for.
    const handle = await whenFree(() => open(path, flags | O_NOFOLLOW | O_NONBLOCK));
    try {
      this.#check(path, await handle.stat());
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }

  #check(path: string, found: Stats): void {
    if (!found.isFile()) throw foreign(path, 'it is not a regular file');
    if (this.#euid === undefined) return;
    if (found.uid !== this.#euid) {
      throw foreign(path, `it belongs to another user (uid ${found.uid})`);
    }
    if ((found.mode & WRITABLE_BY_OTHERS) !== 0) throw foreign(path, 'other users can write to it');
    if (found.nlink > 1) throw foreign(path, 'it has a second name, a hard link');
  }
}

function foreign(path: string, why: string): BitsStoreError {
  return new BitsStoreError('foreign', `${path} is not used for job records: ${why}`);
}

/**
 * One by one: with `recursive` Node does not say why a read-only file system refuses, and in one such
 * as /proc it never ends.
 */
async function makeDirectories(directory: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let path = directory; dirname(path) !== path; path = dirname(path)) {
    if (await isThere(path)) break;
    missing.unshift(path);
  }
  for (const path of missing) {
    await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
      // Another process was faster.
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  }
  return missing[0];
}

/** Renames without replacing anything, with the first free number; one caller at a time. */
export async function setFileAside(path: string, suffix: string): Promise<string> {
  for (let number = 1; ; number++) {
    const aside = `${path}${suffix}${number}`;
    if (await isThere(aside)) continue;
    await whenFree(() => rename(path, aside));
    return aside;
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await unlessMissing(lstat(path))) !== undefined;
}
