import { readdir, unlink } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { removeOldTempFiles, replaceFile, syncDirectory } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import { checkJobKey, isJobKey } from './job-key.js';
import { acquireLock, findHolder, sweepLocks } from './lock.js';
import { ensureDirectory, readOwnFile, setFileAside } from './own-files.js';
import { byAge, type JobRecord, parseRecord, serializeRecord } from './record.js';
import type { JobStore, LockOwner, LockResult, StoredJobs, StoreProblem } from './store.js';
import { fileSystemError } from './store-error.js';

export interface FileStoreOptions {
  /**
   * Where the records lie. Made when it is missing, for its owner alone.
   * @default `bits-upload/jobs` where the system keeps a user's application data
   */
  directory?: string | undefined;
}

const RECORD_SUFFIX = '.json';
const ASIDE_SUFFIX = '.unreadable-';
const KEY_LENGTH = 32;

/**
 * Keeps one JSON file per job in a directory.
 *
 * Files have the mode 0600 and are replaced, never written in place. A file that is no record is
 * renamed to `<name>.unreadable-<n>` and reported by every `list()` until somebody removes it; a
 * record of another release, and what is not this user's regular file, is reported and left alone.
 */
export function createFileStore(options: FileStoreOptions = {}): JobStore {
  // Now rather than on use: the working directory may be another by then.
  const given = options.directory === undefined ? undefined : resolve(options.directory);
  return new FileStore(given);
}

/**
 * The directory that `createFileStore` uses when it is given none.
 * @throws BITS_ERR_STORE when the user has no home directory
 */
export async function defaultJobDirectory(): Promise<string> {
  try {
    // Not at the top of the module: it looks for the home directory as soon as it is loaded.
    const { default: envPaths } = await import('env-paths');
    const { data } = envPaths('bits-upload', { suffix: '' });
    // Where HOME is empty it is relative, and each working directory would have records of its own.
    if (!isAbsolute(data)) throw new Error(`${data} is no absolute path`);
    return join(data, 'jobs');
  } catch (error) {
    throw new BitsStoreError(
      'unavailable',
      'this user has no home directory to keep job records in, or XDG_DATA_HOME is no absolute path: name another directory',
      error,
    );
  }
}

/** What a record's file holds, when it holds anything. */
type Found = { readonly record: JobRecord } | { readonly error: BitsStoreError };

class FileStore implements JobStore {
  #directory: Promise<string> | undefined;
  readonly #given: string | undefined;

  constructor(given: string | undefined) {
    this.#given = given;
  }

  async save(record: JobRecord): Promise<void> {
    const content = serializeRecord(record);
    const path = await this.#pathOf(record.key);
    try {
      await ensureDirectory(await this.#where());
      await this.#makeWay(path, record.key);
      await replaceFile(path, content);
    } catch (error) {
      throw fileSystemError('write the job record', path, error);
    }
  }

  async load(key: string): Promise<JobRecord | undefined> {
    const path = await this.#pathOf(key);
    const found = await this.#read(path, key);
    if (found === undefined) return undefined;
    if ('record' in found) return found.record;
    const problem = await this.#retire(path, key, found.error);
    if (problem === undefined) return this.load(key);
    throw problem.error;
  }

  async list(): Promise<StoredJobs> {
    const records: JobRecord[] = [];
    const problems: StoreProblem[] = [];
    const names = await this.#names();
    for (const name of names.toSorted()) {
      const seen = await this.#look(name);
      if (seen === undefined) continue;
      if ('record' in seen) records.push(seen.record);
      else problems.push(seen);
    }
    await removeOldTempFiles(await this.#where(), names);
    await sweepLocks(await this.#lockDirectory());
    return { records: records.sort(byAge), problems };
  }

  async remove(key: string): Promise<void> {
    const path = await this.#pathOf(key);
    try {
      await unlink(path);
      await syncDirectory(await this.#where());
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw fileSystemError('remove the job record', path, error);
    }
  }

  async lock(key: string): Promise<LockResult> {
    checkJobKey(key);
    return acquireLock(await this.#lockDirectory(), key);
  }

  async holder(key: string): Promise<LockOwner | undefined> {
    checkJobKey(key);
    return findHolder(await this.#lockDirectory(), key);
  }

  #where(): Promise<string> {
    if (this.#given !== undefined) return Promise.resolve(this.#given);
    this.#directory ??= defaultJobDirectory();
    return this.#directory;
  }

  async #lockDirectory(): Promise<string> {
    return join(await this.#where(), 'locks');
  }

  async #pathOf(key: string): Promise<string> {
    checkJobKey(key);
    return join(await this.#where(), key + RECORD_SUFFIX);
  }

  async #names(): Promise<string[]> {
    const directory = await this.#where();
    try {
      return await readdir(directory);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw fileSystemError('read the job records in', directory, error);
    }
  }

  /** Undefined for what is no record and does not look like one. */
  async #look(name: string): Promise<{ record: JobRecord } | StoreProblem | undefined> {
    const where = join(await this.#where(), name);
    const key = name.slice(0, KEY_LENGTH);
    const suffix = isJobKey(key) ? name.slice(KEY_LENGTH) : '';
    if (suffix.startsWith(RECORD_SUFFIX + ASIDE_SUFFIX)) return { where, error: setAside(where) };
    if (suffix === RECORD_SUFFIX) {
      const found = await this.#read(where, key);
      if (found === undefined || 'record' in found) return found;
      return (await this.#retire(where, key, found.error)) ?? this.#look(name);
    }
    if (!name.endsWith(RECORD_SUFFIX)) return undefined;
    return { where, error: new BitsStoreError('foreign', `${where} is not named as a job record`) };
  }

  /** Undefined when there is no such file; an error as a value, since listing goes on. */
  async #read(path: string, key: string): Promise<Found | undefined> {
    try {
      const content = await readOwnFile(path);
      if (content === undefined) return undefined;
      const record = parseRecord(content);
      if (record.key === key) return { record };
      throw new BitsStoreError('damaged', 'it is the record of another job');
    } catch (error) {
      const { reason, message } = fileSystemError('read the job record', path, error);
      const text = message.includes(path) ? message : `${path}: ${message}`;
      return { error: new BitsStoreError(reason, text, error) };
    }
  }

  /**
   * Sets a damaged record aside, unless somebody holds its lock: they will write a new one.
   * @returns undefined when the record is in order by now, or gone
   */
  async #retire(
    path: string,
    key: string,
    error: BitsStoreError,
  ): Promise<StoreProblem | undefined> {
    if (error.reason !== 'damaged') return { where: path, error };
    const { lock } = await this.lock(key).catch(() => ({ lock: undefined }));
    if (lock === undefined) return { where: path, error };
    try {
      const now = await this.#read(path, key);
      if (now === undefined || 'record' in now) return undefined;
      const aside = await setFileAside(path, ASIDE_SUFFIX);
      return { where: aside, error: setAside(aside, error) };
    } catch {
      // The directory may be read-only; the record is no worse for staying where it is.
      return { where: path, error };
    } finally {
      await lock.release().catch(() => {});
    }
  }

  /** The caller holds the lock, so that nobody else renames the file. */
  async #makeWay(path: string, key: string): Promise<void> {
    const found = await this.#read(path, key);
    if (found === undefined || 'record' in found) return;
    if (found.error.reason !== 'damaged') throw found.error;
    await setFileAside(path, ASIDE_SUFFIX);
  }
}

function setAside(where: string, cause?: unknown): BitsStoreError {
  return new BitsStoreError(
    'damaged',
    `a job record could not be read and was kept as ${where}: that upload can only be started ` +
      'over; delete the file when you no longer need it',
    cause,
  );
}
