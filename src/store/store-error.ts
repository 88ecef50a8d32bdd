import { codeOf, describeError } from '../common/error-like.js';
import { BitsStoreError, isBitsError } from '../errors.js';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const DENIED = new Set(['EACCES', 'EPERM', 'EROFS', 'ERR_ACCESS_DENIED']);

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space, or keep the records in another directory',
  EDQUOT: 'the disk quota is used up: free some space, or keep the records in another directory',
  EFBIG: 'a limit on the size of files forbids it: check ulimit -f',
  EIO: 'the disk failed: check it, or keep the records in another directory',
  ESTALE: 'the network share was lost: check it, or keep the records in another directory',
  EACCES: 'permission denied: check who owns it, or keep the records in another directory',
  EPERM: 'not permitted: check who owns it, or keep the records in another directory',
  EROFS: 'the file system is read-only: keep the records in another directory',
  ERR_ACCESS_DENIED:
    'Node runs with --permission: give --allow-fs-read and --allow-fs-write for this directory',
  EBUSY: 'another program has it open: close that program, or exempt the directory from its scans',
  ENOTDIR: 'a part of this path is a file, not a directory',
  // What Windows says of a path that leads through a file.
  ENOENT: 'a part of this path is a file, not a directory, or was removed just now',
  EEXIST: 'it is a file, not a directory',
  EMFILE: 'too many files are open: check ulimit -n',
  ENFILE: 'too many files are open on this machine',
};

/** Turns a failure of the file system into one that says what to check. */
export function fileSystemError(doing: string, where: string, cause: unknown): BitsStoreError {
  if (cause instanceof BitsStoreError) return cause;
  const code = codeOf(cause) ?? '';
  const reason = FULL.has(code) ? 'full' : DENIED.has(code) ? 'denied' : 'unavailable';
  const why = ADVICE[code] ?? describeError(cause);
  return new BitsStoreError(reason, `cannot ${doing} ${where}: ${why}`, cause);
}

/**
 * What a store gives; it may be the caller's, and throw anything.
 * @param doing what it is asked for, to follow `cannot`
 * @throws BITS_ERR_STORE
 */
export async function fromStore<T>(doing: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (isBitsError(error)) throw error;
    throw fileSystemError(doing, 'in the store', error);
  }
}
