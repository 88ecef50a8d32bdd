import { createHash, scryptSync } from 'node:crypto';
import { constants, writeFileSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { replaceFile } from '../../common/atomic-file.js';
import { BitsStateError, type JobLock } from '../../index.js';
import { OwnFiles } from '../../internal.js';
import { type JobState, nameOf } from '../state-directory.js';
import type { FoundFile } from './file-stamp.js';

const SUFFIX = '.finished';
const ENTRY = /^[0-9a-f]{32}$/;
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_AGE_MS = 30 * 24 * 3_600_000;

/** One file of a batch. */
export interface BatchFile extends FoundFile {
  readonly url: URL;
}

/** Names a batch: the same one whenever the same command is given in the same directory. */
export interface BatchKey {
  readonly own: string;
  /** Only of lists without a name: common to all of them. */
  readonly shared?: string;
}

/**
 * The files of a batch that are stored on the server, so that the same command sends only the others
 * after it was killed.
 *
 * A file of the state directory to which a line is added for each; the line is a hash, so that neither
 * names nor URLs are in it. Nothing is synced: what a power cut takes is sent again.
 *
 * A list that a program writes may be longer or shorter when the command is given again: what is stored of
 * another list without a name is not sent again either, until all files of a list that has it are stored.
 */
export class FinishedFiles {
  readonly #state: JobState;
  readonly #path: string;
  readonly #entries: ReadonlySet<string>;
  /** Of other lists, by the path of the file. */
  readonly #related: ReadonlyMap<string, ReadonlySet<string>>;
  /** Those that were asked for. */
  readonly #asked = new Set<string>();
  readonly #handle: FileHandle | undefined;
  readonly #lock: JobLock | undefined;
  #isEmpty: boolean;
  /** After a kill the last line may be a part of one. */
  #isTorn: boolean;

  private constructor(state: JobState, path: string, { text, related, handle, lock }: Opened) {
    this.#state = state;
    this.#path = path;
    this.#entries = entriesIn(text);
    this.#related = related;
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
    key: BatchKey,
    state: JobState,
    { startsOver }: { readonly startsOver: boolean },
  ): Promise<FinishedFiles> {
    const directory = join(await nameOf(state), 'batches');
    const path = pathOf(directory, key);
    const files = new OwnFiles(state.trustsDirectory);
    const { lock, holder } = await state.store.lock(key.own);
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
      const related = startsOver ? NONE : await readRelated(files, directory, key);
      const handle = await openToAppend(files, path);
      return new FinishedFiles(state, path, { text, related, handle, lock });
    } catch (error) {
      await lock.release().catch(() => {});
      throw error;
    }
  }

  /** To look at; nothing is locked or written. */
  static async look(key: BatchKey, state: JobState): Promise<FinishedFiles> {
    const directory = join(await nameOf(state), 'batches');
    const files = new OwnFiles(state.trustsDirectory);
    await files.checkDirectory(directory);
    const path = pathOf(directory, key);
    const related = await readRelated(files, directory, key);
    return new FinishedFiles(state, path, { text: await read(files, path), related });
  }

  /** Whether the file is stored as it is now. */
  has(file: BatchFile): boolean {
    const entry = entryOf(file);
    this.#asked.add(entry);
    const lists = [this.#entries, ...this.#related.values()];
    return lists.some((entries) => entries.has(entry) && !entries.has(goneOf(entry)));
  }

  /** Whether this command has stored the file and then removed it. */
  hasRemoved({ url, path }: Pick<BatchFile, 'url' | 'path'>): boolean {
    return this.#entries.has(entryOf({ url, path }));
  }

  /**
   * Returns when the system has it, so that no end of this process takes it.
   * @throws errors of the file system
   */
  add(file: BatchFile, { isToBeRemoved = false }: { readonly isToBeRemoved?: boolean } = {}): void {
    const { url, path } = file;
    this.#write([entryOf(file), ...(isToBeRemoved ? [entryOf({ url, path })] : [])]);
  }

  /** The file is removed: one in its place is another one, though it may look the same. */
  addRemoval(file: BatchFile): void {
    this.#write([goneOf(entryOf(file))]);
  }

  #write(lines: readonly string[]): void {
    if (this.#handle === undefined) return;
    const text = `${this.#isTorn ? '\n' : ''}${lines.join('\n')}\n`;
    // On a full disk a part of it may be written.
    this.#isTorn = true;
    writeFileSync(this.#handle.fd, text);
    this.#isTorn = false;
    this.#isEmpty = false;
  }

  /** @param fate `isComplete`: there is nothing left to do, and nothing to remember */
  async close({ isComplete }: { readonly isComplete: boolean }): Promise<void> {
    await this.#handle?.close();
    const isUseless = isComplete || this.#isEmpty;
    if (isUseless && this.#handle !== undefined) await unlink(this.#path).catch(() => {});
    if (isComplete && this.#handle !== undefined) await this.#forgetRelated();
    await this.#lock?.release();
  }

  /** What this list had is done; the others keep the rest. */
  async #forgetRelated(): Promise<void> {
    for (const path of this.#related.keys()) await this.#forgetIn(path).catch(() => {});
  }

  /** What another process adds to its own list meanwhile must not be lost. */
  async #forgetIn(path: string): Promise<void> {
    const own = basename(path, SUFFIX).split('-').at(-1) ?? '';
    const { lock } = await this.#state.store.lock(own);
    if (lock === undefined) return;
    try {
      const entries = entriesIn(await read(new OwnFiles(this.#state.trustsDirectory), path));
      const rest = [...entries].filter((entry) => !this.#asked.has(entry));
      if (rest.length === 0) await unlink(path);
      else if (rest.length < entries.size) {
        await replaceFile(path, `${rest.join('\n')}\n`, { afterPowerCut: 'nothing' });
      }
    } finally {
      await lock.release();
    }
  }
}

const NONE: ReadonlyMap<string, ReadonlySet<string>> = new Map();

interface Opened {
  readonly text: string;
  readonly related: ReadonlyMap<string, ReadonlySet<string>>;
  readonly handle?: FileHandle;
  readonly lock?: JobLock;
}

function pathOf(directory: string, { own, shared }: BatchKey): string {
  return join(directory, (shared === undefined ? own : `${shared}-${own}`) + SUFFIX);
}

function entriesIn(text: string): ReadonlySet<string> {
  return new Set(text.split('\n').filter((line) => ENTRY.test(line)));
}

async function readRelated(
  files: OwnFiles,
  directory: string,
  key: BatchKey,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  if (key.shared === undefined) return NONE;
  const related = new Map<string, ReadonlySet<string>>();
  // It may be missing when nothing is to be written.
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const isRelated = name.startsWith(`${key.shared}-`) && name.endsWith(SUFFIX);
    if (!isRelated || path === pathOf(directory, key)) continue;
    related.set(path, entriesIn(await read(files, path).catch(() => '')));
  }
  return related;
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
 * @param urls the queries of which may be secrets, and are hashed slowly (tens of milliseconds)
 * @param list the files of a list without a name
 */
export function batchKey(
  urls: readonly URL[],
  parts: readonly string[],
  list?: readonly string[],
): BatchKey {
  const queries = new Set(urls.map(({ search }) => search));
  queries.delete('');
  const hash =
    queries.size === 0 ? [] : [scryptSync([...queries].join('\0'), parts.join('\0'), 16)];
  const key = digest(['batch', ...parts, ...hash.map((bytes) => bytes.toString('hex'))]);
  return list === undefined
    ? { own: key }
    : { own: digest([key, ...list.toSorted()]), shared: key };
}

/** Without the query, which is the same one in the whole batch or does not choose a file. */
function entryOf({ url, path, stamp }: Omit<BatchFile, 'stamp'> & Partial<BatchFile>): string {
  const version = stamp === undefined ? ['removed'] : [`${stamp.size}`, `${stamp.mtimeNs}`];
  return digest([`${url.origin}${url.pathname}`, path, ...version]);
}

function goneOf(entry: string): string {
  return digest(['gone', entry]);
}

/** Paths and URLs hold no NUL. */
function digest(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
}
