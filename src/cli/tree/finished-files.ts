import { createHash, scryptSync } from 'node:crypto';
import { constants, writeSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { BitsStateError, type JobLock } from '../../index.js';
import { OwnFiles } from '../../internal.js';
import { type JobState, nameOf } from '../state-directory.js';
import type { FileStamp } from './file-stamp.js';

const SUFFIX = '.finished';
const ENTRY = /^[0-9a-f]{32}$/;
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_AGE_MS = 30 * 24 * 3_600_000;

/** One file of a batch. */
export interface BatchFile {
  readonly url: URL;
  /** Absolute. */
  readonly path: string;
  readonly stamp: FileStamp;
}

/**
 * The files of a batch that are stored on the server, so that the same command sends only the others
 * after it was killed.
 *
 * A file of the state directory to which a line is added for each; the line is a hash, so that neither
 * names nor URLs are in it. Nothing is synced: what a power cut takes is sent again.
 */
export class FinishedFiles {
  readonly #path: string;
  readonly #entries: ReadonlySet<string>;
  readonly #handle: FileHandle | undefined;
  readonly #lock: JobLock | undefined;
  #isEmpty: boolean;
  /** After a kill the last line may be a part of one. */
  #isTorn: boolean;

  private constructor(path: string, { text, handle, lock }: Opened) {
    this.#path = path;
    this.#entries = new Set(text.split('\n').filter((line) => ENTRY.test(line)));
    this.#isEmpty = this.#entries.size === 0;
    this.#isTorn = text !== '' && !text.endsWith('\n');
    this.#handle = handle;
    this.#lock = lock;
  }

  /**
   * Locks the batch, so that no other process uploads the same files.
   * @param key of the batch
   * @throws BITS_ERR_STATE when another process does; BITS_ERR_STORE and errors of the file system
   */
  static async open(
    key: string,
    state: JobState,
    { startsOver }: { readonly startsOver: boolean },
  ): Promise<FinishedFiles> {
    const directory = join(await nameOf(state), 'batches');
    const path = join(directory, key + SUFFIX);
    const files = new OwnFiles(state.trustsDirectory);
    const { lock, holder } = await state.store.lock(key);
    if (lock === undefined) {
      throw new BitsStateError(
        `Process ${holder.pid} on ${holder.hostName} is uploading these files: wait for its end.`,
      );
    }
    try {
      await files.ensureDirectory(directory);
      await removeOld(directory);
      if (startsOver) await unlink(path).catch(() => {});
      const text = await read(files, path);
      return new FinishedFiles(path, { text, handle: await openToAppend(files, path), lock });
    } catch (error) {
      await lock.release().catch(() => {});
      throw error;
    }
  }

  /** To look at; nothing is locked or written. */
  static async look(key: string, state: JobState): Promise<FinishedFiles> {
    const directory = join(await nameOf(state), 'batches');
    const files = new OwnFiles(state.trustsDirectory);
    await files.checkDirectory(directory);
    const path = join(directory, key + SUFFIX);
    return new FinishedFiles(path, { text: await read(files, path) });
  }

  /** Whether the file is stored as it is now. */
  has(file: BatchFile): boolean {
    return this.#entries.has(entryOf(file));
  }

  /** Whether the file was stored and then removed. */
  hasRemoved({ url, path }: Pick<BatchFile, 'url' | 'path'>): boolean {
    return this.#entries.has(entryOf({ url, path }));
  }

  /**
   * Returns when the system has it, so that no end of this process takes it.
   * @throws errors of the file system
   */
  add(file: BatchFile, { isToBeRemoved = false }: { readonly isToBeRemoved?: boolean } = {}): void {
    if (this.#handle === undefined) return;
    const { url, path } = file;
    const lines = [entryOf(file), ...(isToBeRemoved ? [entryOf({ url, path })] : [])];
    writeSync(this.#handle.fd, `${this.#isTorn ? '\n' : ''}${lines.join('\n')}\n`);
    this.#isTorn = false;
    this.#isEmpty = false;
  }

  /** @param fate `isComplete`: there is nothing left to do, and nothing to remember */
  async close({ isComplete }: { readonly isComplete: boolean }): Promise<void> {
    await this.#handle?.close();
    const isUseless = isComplete || this.#isEmpty;
    if (isUseless && this.#handle !== undefined) await unlink(this.#path).catch(() => {});
    await this.#lock?.release();
  }
}

interface Opened {
  readonly text: string;
  readonly handle?: FileHandle;
  readonly lock?: JobLock;
}

async function read(files: OwnFiles, path: string): Promise<string> {
  const content = await files.read(path, MAX_BYTES);
  return content?.toString('latin1') ?? '';
}

async function openToAppend(files: OwnFiles, path: string): Promise<FileHandle> {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
  const existing = await files.open(path, O_WRONLY | O_APPEND);
  return existing ?? (await open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
}

/** Batches that nobody finished. */
async function removeOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(directory, name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats !== undefined && Date.now() - stats.mtimeMs > MAX_AGE_MS) {
      await unlink(path).catch(() => {});
    }
  }
}

/**
 * The key of a batch: the same one whenever the same command is given in the same directory.
 * @param urls the queries of which may be secrets, and are hashed slowly (tens of milliseconds)
 */
export function batchKey(urls: readonly URL[], parts: readonly string[]): string {
  const queries = new Set(urls.map(({ search }) => search));
  queries.delete('');
  if (queries.size === 0) return digest(['batch', ...parts]);
  const hash = scryptSync([...queries].join('\0'), parts.join('\0'), 16);
  return digest(['batch', ...parts, hash.toString('hex')]);
}

/** Without the query, which is the same one in the whole batch or does not choose a file. */
function entryOf({ url, path, stamp }: Omit<BatchFile, 'stamp'> & Partial<BatchFile>): string {
  const version = stamp === undefined ? ['removed'] : [`${stamp.byteLength}`, `${stamp.mtimeNs}`];
  return digest([`${url.origin}${url.pathname}`, path, ...version]);
}

/** Paths and URLs hold no NUL. */
function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
}
