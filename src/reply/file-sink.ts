import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import * as nodeFs from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BitsArgumentError, BitsError, isBitsError } from '../errors.js';
import { assertFits, type ReplySink, type StoredReply } from './reply-sink.js';

/** The file system calls that a reply needs; replaced by tests to make them fail. */
export type ReplyFileSystem = Pick<
  typeof nodeFs,
  'access' | 'link' | 'lstat' | 'open' | 'rename' | 'stat' | 'unlink'
>;

export interface ReplyFileOptions {
  /** Job id: another process finds the partial file by it. */
  readonly id: string;
  readonly file: string;
  readonly overwrite: boolean;
  readonly maxBytes: number;
  readonly sha256: boolean;
  readonly fs?: ReplyFileSystem | undefined;
}

/** Longest time for which arrived bytes are at the mercy of a power cut. */
const SYNC_INTERVAL_MS = 1000;
const READ_BACK_BYTES = 256 * 1024;

// Absent on Windows, where the types know no difference.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
const REOPEN = constants.O_RDWR | NO_FOLLOW;
const CREATE = REOPEN | constants.O_CREAT | constants.O_EXCL;

/**
 * Stores a reply in a file that appears whole or not at all.
 *
 * Bytes go to a part file beside the target, `.bits-reply-….part`, named after the job and the
 * target. The whole reply takes the target's name by `rename`, or by `link` when nothing may be
 * overwritten, which cannot clobber a file that appeared meanwhile. After `link` the part file
 * stays until the job ends: two names of one file tell a later process that the reply is in place,
 * even when this one dies before it could record that. A symbolic link at the target is replaced, not
 * followed. Permissions are those of the file replaced, else the umask's.
 */
export class FileSink implements ReplySink {
  keptBytes = 0;
  durableBytes = 0;
  readonly #target: string;
  readonly #part: string;
  readonly #overwrite: boolean;
  readonly #maxBytes: number;
  readonly #fs: ReplyFileSystem;
  readonly #sha256: boolean;
  #hash: Hash | undefined;
  #hashedBytes = 0;
  #handle: nodeFs.FileHandle | undefined;
  #syncedMs = 0;

  constructor(options: ReplyFileOptions) {
    this.#target = resolve(options.file);
    this.#part = partFile(options.id, this.#target);
    this.#overwrite = options.overwrite;
    this.#maxBytes = options.maxBytes;
    this.#sha256 = options.sha256;
    this.#fs = options.fs ?? nodeFs;
  }

  open(keepBytes: number): Promise<StoredReply | undefined> {
    return this.#guarded(async () => {
      if (await isSameFile(this.#fs, this.#part, this.#target)) {
        // A file that may be overwritten may have been written to as well.
        const { size } = await this.#fs.stat(this.#part);
        if (!this.#overwrite || size === keepBytes) return this.#foundInPlace();
      }
      const { handle, partBytes } = await this.#openPart();
      this.#handle = handle;
      this.keptBytes = Math.min(partBytes, keepBytes);
      this.durableBytes = this.keptBytes;
      this.#syncedMs = performance.now();
      if (partBytes > this.keptBytes) await handle.truncate(this.keptBytes);
      if (this.#sha256) await this.#hashKept(handle);
      return undefined;
    });
  }

  expect(totalBytes: number): void {
    assertFits(totalBytes, this.#maxBytes, 'raise maxBytes');
  }

  restart(): Promise<void> {
    return this.#guarded(async () => {
      this.keptBytes = 0;
      this.durableBytes = 0;
      this.#forgetHash();
      await this.#opened().truncate(0);
    });
  }

  write(piece: Uint8Array): Promise<void> {
    return this.#guarded(async () => {
      this.expect(this.keptBytes + piece.byteLength);
      const handle = this.#opened();
      let done = 0;
      while (done < piece.byteLength) {
        const left = piece.byteLength - done;
        const { bytesWritten } = await handle.write(piece, done, left, this.keptBytes + done);
        done += bytesWritten;
      }
      this.#hash?.update(piece);
      this.#hashedBytes += piece.byteLength;
      this.keptBytes += piece.byteLength;
      if (performance.now() - this.#syncedMs >= SYNC_INTERVAL_MS) await this.#sync(handle);
    });
  }

  finish(): Promise<StoredReply> {
    return this.#guarded(async () => {
      const handle = this.#opened();
      await this.#sync(handle);
      this.#handle = undefined;
      await handle.close();
      if (this.#overwrite) await this.#replaceTarget();
      else await this.#putInPlace();
      await syncDirectory(this.#fs, dirname(this.#target));
      const sha256 = this.#hash?.copy().digest('hex');
      return this.#stored(this.keptBytes, sha256);
    });
  }

  async release(): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    // The attempt has its outcome already; what could not be secured is fetched again.
    await this.#sync(handle).catch(() => {});
    await handle.close().catch(() => {});
  }

  async close({ keepPartial }: { readonly keepPartial: boolean }): Promise<void> {
    await this.release();
    // A part file that cannot be removed does no harm but the space it takes.
    if (!keepPartial) await removePart(this.#fs, this.#part);
  }

  async #openPart(): Promise<{ handle: nodeFs.FileHandle; partBytes: number }> {
    const left = await unlessMissing(this.#fs.open(this.#part, REOPEN));
    if (left === undefined) return { handle: await this.#createPart(), partBytes: 0 };
    const stat = await left.stat();
    // With a second name it is a reply that the caller has; with another owner it is not ours.
    if (stat.isFile() && stat.nlink === 1 && isOwn(stat.uid)) {
      return { handle: left, partBytes: stat.size };
    }
    await left.close();
    await this.#fs.unlink(this.#part);
    return { handle: await this.#createPart(), partBytes: 0 };
  }

  async #createPart(): Promise<nodeFs.FileHandle> {
    const replaced = await unlessMissing(this.#fs.lstat(this.#target));
    const mode = replaced?.isFile() ? replaced.mode & 0o777 : 0o666;
    return this.#fs.open(this.#part, CREATE, mode);
  }

  /** By a second name, so that the part file goes on proving to a later process whose reply it is. */
  async #replaceTarget(): Promise<void> {
    const second = secondName(this.#part);
    try {
      await this.#fs.unlink(second).catch(() => {});
      await this.#fs.link(this.#part, second);
    } catch {
      // There are file systems without hard links.
      await this.#fs.rename(this.#part, this.#target);
      return;
    }
    try {
      await this.#fs.rename(second, this.#target);
    } catch (error) {
      await this.#fs.unlink(second).catch(() => {});
      throw error;
    }
  }

  async #putInPlace(): Promise<void> {
    try {
      await this.#fs.link(this.#part, this.#target);
    } catch {
      // Whatever stood in the way, a file of that name included, stands in the way here too.
      await this.#reserveAndRename();
    }
  }

  // For file systems without hard links: only who created the empty file may replace it.
  async #reserveAndRename(): Promise<void> {
    const reserved = await this.#fs.open(this.#target, 'wx');
    await reserved.close();
    try {
      await this.#fs.rename(this.#part, this.#target);
    } catch (error) {
      await this.#fs.unlink(this.#target);
      throw error;
    }
  }

  async #foundInPlace(): Promise<StoredReply> {
    await syncDirectory(this.#fs, dirname(this.#target));
    const handle = await this.#fs.open(this.#part, REOPEN);
    try {
      const { size } = await handle.stat();
      this.keptBytes = size;
      this.durableBytes = size;
      if (this.#sha256) await this.#hashKept(handle);
      return this.#stored(size, this.#hash?.copy().digest('hex'));
    } finally {
      await handle.close();
    }
  }

  #stored(bytes: number, sha256: string | undefined): StoredReply {
    return { bytes, file: this.#target, ...(sha256 !== undefined && { sha256 }) };
  }

  async #sync(handle: nodeFs.FileHandle): Promise<void> {
    try {
      await handle.sync().catch(unlessForbidden);
    } catch (error) {
      // After a failed sync the system may call lost pages clean: only older bytes are sure.
      this.keptBytes = this.durableBytes;
      throw error;
    }
    this.durableBytes = this.keptBytes;
    this.#syncedMs = performance.now();
  }

  async #hashKept(handle: nodeFs.FileHandle): Promise<void> {
    if (this.#hash && this.#hashedBytes === this.keptBytes) return;
    const hash = this.#forgetHash();
    const buffer = Buffer.allocUnsafe(READ_BACK_BYTES);
    while (this.#hashedBytes < this.keptBytes) {
      const wanted = Math.min(buffer.byteLength, this.keptBytes - this.#hashedBytes);
      const { bytesRead } = await handle.read(buffer, 0, wanted, this.#hashedBytes);
      if (bytesRead === 0) throw new Error('the part file shrank while it was read');
      hash.update(buffer.subarray(0, bytesRead));
      this.#hashedBytes += bytesRead;
    }
  }

  #forgetHash(): Hash {
    const hash = createHash('sha256');
    this.#hash = this.#sha256 ? hash : undefined;
    this.#hashedBytes = 0;
    return hash;
  }

  #opened(): nodeFs.FileHandle {
    if (this.#handle === undefined) throw new Error('file sink: not open');
    return this.#handle;
  }

  async #guarded<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw isBitsError(error) ? error : fileError(this.#target, error);
    }
  }
}

/**
 * Checks, before anything is sent, that a reply can be stored there.
 * @throws BITS_ERR_ARGUMENT when the directory is missing or closed to this user, the target exists
 * and may not be overwritten, or it is no plain file.
 */
export async function checkReplyFile(
  options: Pick<ReplyFileOptions, 'id' | 'file' | 'overwrite'>,
  fs: ReplyFileSystem = nodeFs,
): Promise<void> {
  const target = resolve(options.file);
  const directory = dirname(target);
  const parent = await fs.stat(directory).catch((cause) => {
    throw unusable(`the directory ${directory} cannot be reached (${errorCode(cause)})`, cause);
  });
  if (!parent.isDirectory()) throw unusable(`${directory} is no directory`);
  await fs.access(directory, constants.W_OK | constants.X_OK).catch((cause) => {
    throw unusable(`the directory ${directory} cannot be written to (${errorCode(cause)})`, cause);
  });

  const present = await unlessMissing(fs.lstat(target)).catch((cause) => {
    throw unusable(`${target} cannot be reached (${errorCode(cause)})`, cause);
  });
  if (present === undefined) return;
  if (!present.isFile() && !present.isSymbolicLink()) throw unusable(`${target} is no plain file`);
  if (options.overwrite || (await isSameFile(fs, partFile(options.id, target), target))) return;
  throw unusable(`${target} exists; give overwrite: true to replace it`);
}

/** Removes what a job has stored of a reply that no longer counts. */
export async function discardReplyFile(
  options: Pick<ReplyFileOptions, 'id' | 'file' | 'overwrite'> & { readonly stored: boolean },
  fs: ReplyFileSystem = nodeFs,
): Promise<void> {
  const target = resolve(options.file);
  const part = partFile(options.id, target);
  // What cannot be removed is found to be in the way when the new reply comes.
  const ours = await isSameFile(fs, part, target).catch(() => false);
  if (!options.overwrite && (ours || options.stored)) await fs.unlink(target).catch(() => {});
  await removePart(fs, part);
}

/** Removes the part file of a job whose reply goes elsewhere by now; a reply in its place stays. */
export async function discardReplyPart({
  id,
  file,
}: Pick<ReplyFileOptions, 'id' | 'file'>): Promise<void> {
  await removePart(nodeFs, partFile(id, resolve(file)));
}

function unusable(why: string, cause?: unknown): BitsArgumentError {
  return new BitsArgumentError(`The reply cannot be stored: ${why}`, { cause });
}

function partFile(id: string, target: string): string {
  // A name of fixed length: the target's own may be as long as the file system allows.
  const name = createHash('sha256')
    .update(`${id}\0${basename(target)}`)
    .digest('hex');
  return join(dirname(target), `.bits-reply-${name.slice(0, 32)}.part`);
}

/** What a part file is called for a moment before it replaces another file. */
function secondName(part: string): string {
  return `${part}.new`;
}

/** One that cannot be removed does no harm but the space it takes. */
async function removePart(fs: ReplyFileSystem, part: string): Promise<void> {
  for (const name of [part, secondName(part)]) await fs.unlink(name).catch(() => {});
}

async function isSameFile(fs: ReplyFileSystem, a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all(
    [a, b].map((path) => unlessMissing(fs.lstat(path, { bigint: true }))),
  );
  if (first === undefined || second === undefined) return false;
  return first.isFile() && first.ino === second.ino && first.dev === second.dev;
}

async function unlessMissing<T>(pending: Promise<T>): Promise<T | undefined> {
  try {
    return await pending;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isOwn(uid: number): boolean {
  return process.geteuid === undefined || uid === process.geteuid();
}

/**
 * Node's permission model forbids fsync whatever was allowed, and a reply that may be lost in a power
 * cut is better than none.
 */
function unlessForbidden(error: unknown): void {
  if (errorCode(error) !== 'ERR_ACCESS_DENIED') throw error;
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

async function syncDirectory(fs: ReplyFileSystem, directory: string): Promise<void> {
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

function errorCode(error: unknown): string {
  return String((error as NodeJS.ErrnoException | undefined)?.code ?? 'no code');
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'check the permissions',
  EDQUOT: 'the disk quota is used up: free space there',
  EEXIST: 'a file of that name appeared meanwhile: move it away, or give overwrite: true',
  EFBIG: 'the file system takes no file of that size',
  EIO: 'the disk failed: check it',
  ENOENT: 'check that the directory still exists',
  ENOSPC: 'the disk is full: free space there',
  EPERM: 'check the permissions',
  EROFS: 'the file system is read-only',
  ERR_ACCESS_DENIED:
    'Node runs with --permission: give --allow-fs-read and --allow-fs-write for it',
};

function fileError(target: string, cause: unknown): BitsError {
  const code = errorCode(cause);
  const advice = ADVICE[code] ?? 'check the disk and the directory';
  return new BitsError(
    'BITS_ERR_REPLY',
    `The reply could not be stored in ${target} (${code}): ${advice}. The session is left open, ` +
      'so that resuming fetches the reply without uploading again.',
    { cause },
  );
}
