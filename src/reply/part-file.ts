import { createHash, type Hash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFile } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { BitsError } from '../errors.js';
import { isOwn, type ReplyFileSystem } from './file-system.js';

/** Longest time for which bytes that arrived may be lost in a power cut. */
const SYNC_INTERVAL_MS = 1000;
const READ_BACK_BYTES = 256 * 1024;

// Others may have put anything there: a link is not followed, and a FIFO is not waited for. Both
// flags are absent on Windows, where the types know no difference.
const GUARDED = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const REOPEN = constants.O_RDWR | GUARDED;
const CREATE = REOPEN | constants.O_CREAT | constants.O_EXCL;

/** What opening says of a link, a socket, a directory, or a file that is closed to this user. */
const NOT_A_PART = new Set(['EACCES', 'EISDIR', 'ELOOP', 'EMLINK', 'ENXIO', 'EPERM']);

/**
 * The hidden file beside the target, `.bits-reply-….part`, that takes a reply until it is whole.
 *
 * Its name follows from the job's id and the target's name, so that another process finds it. It is
 * readable and writable for its owner alone, and one that somebody else may have made or changed is
 * not trusted but replaced.
 */
export class PartFile {
  readonly path: string;
  /** Bytes that it holds, from the reply's first on. */
  keptBytes = 0;
  /** Of these, the ones that survive a power cut. */
  durableBytes = 0;
  readonly #fs: ReplyFileSystem;
  readonly #hashes: boolean;
  #hash = createHash('sha256');
  #hashedBytes = 0;
  #handle: FileHandle | undefined;
  #syncedMs = 0;

  /** @param hashes whether `digest` will be asked for */
  constructor(path: string, fs: ReplyFileSystem, hashes: boolean) {
    this.path = path;
    this.#fs = fs;
    this.#hashes = hashes;
  }

  /** Makes ready for the byte behind the first `keepBytes` at most of what it holds. */
  async open(keepBytes: number): Promise<void> {
    const handle = (await this.#reopen()) ?? (await this.#fs.open(this.path, CREATE, 0o600));
    this.#handle = handle;
    const { size } = await handle.stat();
    this.keptBytes = Math.min(size, keepBytes);
    this.durableBytes = this.keptBytes;
    this.#syncedMs = performance.now();
    if (size > this.keptBytes) await handle.truncate(this.keptBytes);
    await this.#hashKept(handle);
  }

  /** Looks at a part file that holds the whole reply already. */
  async readBack(): Promise<void> {
    const handle = await this.#fs.open(this.path, constants.O_RDONLY | GUARDED);
    try {
      const { size } = await handle.stat();
      this.keptBytes = size;
      this.durableBytes = size;
      await this.#hashKept(handle);
    } finally {
      await handle.close();
    }
  }

  async clear(): Promise<void> {
    this.keptBytes = 0;
    this.durableBytes = 0;
    this.#forgetHash();
    await this.#opened().truncate(0);
  }

  async append(piece: Uint8Array): Promise<void> {
    const handle = this.#opened();
    let done = 0;
    while (done < piece.byteLength) {
      const left = piece.byteLength - done;
      const { bytesWritten } = await handle.write(piece, done, left, this.keptBytes + done);
      done += bytesWritten;
    }
    if (this.#hashes) this.#hash.update(piece);
    this.#hashedBytes += piece.byteLength;
    this.keptBytes += piece.byteLength;
    if (performance.now() - this.#syncedMs >= SYNC_INTERVAL_MS) await this.#sync(handle);
  }

  /** Secures the whole reply under the permissions that it is to have, and closes the file. */
  async complete(mode: number | undefined): Promise<void> {
    const handle = this.#opened();
    // Where permissions cannot be set, it stays its owner's alone.
    if (mode !== undefined) await handle.chmod(mode).catch(() => {});
    await this.#sync(handle);
    this.#handle = undefined;
    await handle.close();
  }

  /** Secures what it holds, as far as that works, and closes the file. Never rejects. */
  async release(): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    // The attempt has its outcome already; what could not be secured is fetched again.
    await this.#sync(handle).catch(() => {});
    await handle.close().catch(() => {});
  }

  /** SHA-256 of what it holds, in hexadecimal digits. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** @returns undefined when there is none, or none that can be trusted, which is then removed */
  async #reopen(): Promise<FileHandle | undefined> {
    try {
      const handle = await this.#fs.open(this.path, REOPEN);
      if (isTrusted(await handle.stat())) return handle;
      await handle.close();
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') return undefined;
      if (code === undefined || !NOT_A_PART.has(code)) throw error;
    }
    await this.#fs.unlink(this.path).catch((cause) => {
      throw new BitsError(
        'BITS_ERR_REPLY',
        `${this.path} is in the way of the reply and not this job's own file: remove it. The ` +
          'session is left open, so that resuming fetches the reply without uploading again.',
        { cause },
      );
    });
    return undefined;
  }

  async #sync(handle: FileHandle): Promise<void> {
    try {
      await syncFile(handle);
    } catch (error) {
      // After a failed sync the system may call lost pages clean: only older bytes are sure.
      this.keptBytes = this.durableBytes;
      throw error;
    }
    this.durableBytes = this.keptBytes;
    this.#syncedMs = performance.now();
  }

  async #hashKept(handle: FileHandle): Promise<void> {
    if (!this.#hashes || this.#hashedBytes === this.keptBytes) return;
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
    this.#hash = createHash('sha256');
    this.#hashedBytes = 0;
    return this.#hash;
  }

  #opened(): FileHandle {
    if (this.#handle === undefined) throw new Error('part file: not open');
    return this.#handle;
  }
}

/** With a second name it is a reply that the caller has; others must not be able to write to it. */
function isTrusted(stat: Stats): boolean {
  const isPrivate = process.geteuid === undefined || (stat.mode & 0o022) === 0;
  return stat.isFile() && stat.nlink === 1 && isOwn(stat) && isPrivate;
}

export function partPath(id: string, target: string): string {
  // A name of fixed length: the target's own may be as long as the file system allows.
  const name = createHash('sha256')
    .update(`${id}\0${basename(target)}`)
    .digest('hex');
  return join(dirname(target), `.bits-reply-${name.slice(0, 32)}.part`);
}

/** What a part file is called for a moment before it replaces another file. */
export function secondName(part: string): string {
  return `${part}.new`;
}

/** One that cannot be removed does no harm but the space it takes. */
export async function removePart(fs: ReplyFileSystem, part: string): Promise<void> {
  for (const name of [part, secondName(part)]) await fs.unlink(name).catch(() => {});
}
