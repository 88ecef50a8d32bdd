import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import { MAX_RECORD_BYTES } from './record.js';

/** Makes a directory for its owner alone; one that is there keeps its mode. */
export async function ensureDirectory(directory: string): Promise<void> {
  const made = await makeDirectories(directory);
  if (made !== undefined) await syncDirectory(dirname(made));
}

/**
 * One by one: with `recursive` Node does not tell why a read-only file system refuses, and in one such
 * as /proc it tries for ever.
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

/**
 * Reads a small regular file, following no link.
 * @returns undefined when there is none
 * @throws BITS_ERR_STORE with the reason `foreign` for anything that this user did not write
 */
export async function readOwnFile(path: string): Promise<string | undefined> {
  let handle: FileHandle;
  try {
    // Windows knows no O_NOFOLLOW; O_NONBLOCK: opening a pipe would wait for its writer.
    const found = await lstat(path);
    if (!found.isFile()) throw foreign(path, 'it is not a regular file');
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
    handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw foreign(path, 'it is a symbolic link');
    throw error;
  }
  try {
    const opened = await handle.stat();
    if (!opened.isFile()) throw foreign(path, 'it is not a regular file');
    if (!(await isOurs(opened.uid, path))) throw foreign(path, 'it belongs to another user');
    if (opened.size > MAX_RECORD_BYTES) {
      throw new BitsStoreError('damaged', `${path} is too large for a job record`);
    }
    return decodeUtf8(await handle.readFile(), path);
  } finally {
    await handle.close();
  }
}

function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new BitsStoreError('damaged', `${path} is damaged: it is not UTF-8`);
  }
}

/**
 * In a directory that others may write to, a record of theirs could name any file for a reply.
 * Some network and shared folders show one owner for everything in them, who may be anybody.
 */
async function isOurs(uid: number, path: string): Promise<boolean> {
  const me = process.getuid?.();
  return me === undefined || uid === me || uid === (await stat(dirname(path))).uid;
}

function foreign(path: string, why: string): BitsStoreError {
  return new BitsStoreError('foreign', `${path} is not used as a job record: ${why}`);
}

/** Renames without replacing anything, with the first free number; one caller at a time. */
export async function setFileAside(path: string, suffix: string): Promise<string> {
  for (let number = 1; ; number++) {
    const aside = `${path}${suffix}${number}`;
    if (await isThere(aside)) continue;
    await rename(path, aside);
    return aside;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
