import { access, constants } from 'node:fs';
import { readdir, unlink } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { type AfterPowerCut, removeOldTempFiles, replaceFile } from '../common/atomic-file.js';
import { callOptions, flag, mustBe, type OptionNames, text } from '../common/check-options.js';
import { unlessMissing } from '../common/error-like.js';
import { whenFree } from '../common/when-free.js';
import { BitsStoreError } from '../errors.js';
import { checkJobKey, isJobKey } from './job-key.js';
import { Locks } from './lock.js';
import { OwnFiles, setFileAside } from './own-files.js';
import { byAge, type JobRecord, MAX_RECORD_BYTES, parseRecord, serializeRecord } from './record.js';
import type { JobStore, LockOwner, LockResult, StoredJobs, StoreProblem } from './store.js';
import { fileSystemError } from './store-error.js';

/** Options of `createFileStore`. */
export interface FileStoreOptions {
  /**
   * Where the records are. Made when it is missing, for its owner alone.
   * @default `bits-upload/jobs` where the system keeps a user's application data
   */
  directory?: string | undefined;
  /**
   * Uses the directory whoever owns it, and whoever may write to it. Only for network shares that
   * show another owner than the real one: who can write a record can have any of your files
   * uploaded to a server of their choice.
   * @default false
   */
  trustDirectory?: boolean | undefined;
}

const OPTION_NAMES: OptionNames<FileStoreOptions> = { directory: true, trustDirectory: true };

const RECORD_SUFFIX = '.json';
const ASIDE_SUFFIX = '.unreadable-';
const KEY_LENGTH = 32;

/** For how long an upload may be lost to a power cut: what it sent in that time is quickly sent again. */
const UNSYNCED_MS = 1000;

/**
 * Keeps one JSON file per job in a directory.
 *
 * Files have the mode 0600 and are replaced, never written in place. A directory or a file that
 * belongs to another user, or that others may write to, is not used. A file that is no record is
 * renamed to `<name>.unreadable-<n>` and reported by every `list()` until somebody removes it; a
 * record of another release, and what is not this user's regular file, is reported and left alone.
 * @throws BITS_ERR_ARGUMENT
 */
export function createFileStore(options: FileStoreOptions = {}): JobStore {
  const { directory, trustDirectory } = callOptions('createFileStore', options, OPTION_NAMES);
  mustBe(text('directory', directory) !== '', 'directory', 'a path');
  const files = new OwnFiles(flag('trustDirectory', trustDirectory));
  // Now rather than on use: the working directory may be another by then.
  const given = directory === undefined ? undefined : resolve(directory);
  return new FileStore(given, files);
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
      'this user has no home directory to keep job records in, or XDG_DATA_HOME is no absolute ' +
        'path: name another directory',
      error,
    );
  }
}

/** What a record's file holds, when it holds anything. */
type Found = { readonly record: JobRecord } | { readonly error: BitsStoreError };

/** What a file holds, as far as it matters to the next record. */
interface Written extends Pick<JobRecord['session'], 'sessionId' | 'closeUncertain'> {
  /** A power cut leaves it, or an earlier record of the same session. */
  readonly isDurable: boolean;
}

/** The former record, which a power cut may bring back. */
const REMOVED: Written = { sessionId: undefined, closeUncertain: false, isDurable: false };

class FileStore implements JobStore {
  readonly #files: OwnFiles;
  readonly #given: string | undefined;
  #directory: string | undefined;
  /** By key, the locks that are held, with what was written under each: nobody else changes it. */
  readonly #held = new Map<string, { written?: Written }>();

  constructor(given: string | undefined, files: OwnFiles) {
    this.#given = given;
    this.#files = files;
  }

  async save(record: JobRecord): Promise<void> {
    const content = serializeRecord(record);
    const { key, session } = record;
    const directory = await this.#directoryName();
    const path = join(directory, key + RECORD_SUFFIX);
    try {
      await this.#files.ensureDirectory(directory);
      const held = this.#held.get(key);
      const before = held?.written ?? (await this.#makeWay(path, key));
      const afterPowerCut = held === undefined ? 'new' : whatMustStay(record, before);
      await replaceFile(path, content, { afterPowerCut });
      if (held === undefined) return;
      const { sessionId, closeUncertain } = session;
      held.written = { sessionId, closeUncertain, isDurable: afterPowerCut !== 'nothing' };
    } catch (error) {
      throw fileSystemError('write the job record', path, error);
    }
  }

  async load(key: string): Promise<JobRecord | undefined> {
    checkJobKey(key);
    // Most files have no record, and then it does not matter who could have written it.
    const directory = await this.#directoryName();
    if (!(await isThere(join(directory, key + RECORD_SUFFIX)))) return undefined;
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
    const directory = await this.#usableDirectory();
    const names = await namesIn(directory);
    for (const name of names.toSorted()) {
      const seen = await this.#look(directory, name);
      if (seen === undefined) continue;
      if ('record' in seen) records.push(seen.record);
      else problems.push(seen);
    }
    await removeOldTempFiles(directory, names);
    await (await this.#locks()).sweep();
    return { records: records.sort(byAge), problems };
  }

  async remove(key: string): Promise<void> {
    const path = await this.#pathOf(key);
    try {
      // Not synced: a record that a power cut brings back costs its server a question, and no bytes.
      await unlessMissing(whenFree(() => unlink(path)));
      const held = this.#held.get(key);
      if (held !== undefined) held.written = REMOVED;
    } catch (error) {
      throw fileSystemError('remove the job record', path, error);
    }
  }

  async lock(key: string): Promise<LockResult> {
    checkJobKey(key);
    const { lock, holder } = await (await this.#locks()).acquire(key);
    if (lock === undefined) return { holder };
    this.#held.set(key, {});
    const release = () => {
      this.#held.delete(key);
      return lock.release();
    };
    return { lock: { owner: lock.owner, lost: lock.lost, release } };
  }

  async holder(key: string): Promise<LockOwner | undefined> {
    checkJobKey(key);
    return (await this.#locks()).holder(key);
  }

  async #locks(): Promise<Locks> {
    return new Locks(join(await this.#usableDirectory(), 'locks'), { files: this.#files });
  }

  async #pathOf(key: string): Promise<string> {
    checkJobKey(key);
    return join(await this.#usableDirectory(), key + RECORD_SUFFIX);
  }

  /** It may be missing. */
  async #usableDirectory(): Promise<string> {
    const directory = await this.#directoryName();
    try {
      await this.#files.checkDirectory(directory);
    } catch (error) {
      throw fileSystemError('use', directory, error);
    }
    return directory;
  }

  async #directoryName(): Promise<string> {
    this.#directory ??= this.#given ?? (await defaultJobDirectory());
    return this.#directory;
  }

  /** Undefined for what is no record and does not look like one. */
  async #look(
    directory: string,
    name: string,
  ): Promise<{ record: JobRecord } | StoreProblem | undefined> {
    const where = join(directory, name);
    const key = name.slice(0, KEY_LENGTH);
    const suffix = isJobKey(key) ? name.slice(KEY_LENGTH) : '';
    if (suffix.startsWith(RECORD_SUFFIX + ASIDE_SUFFIX)) return { where, error: setAside(where) };
    if (suffix === RECORD_SUFFIX) {
      const found = await this.#read(where, key);
      if (found === undefined || 'record' in found) return found;
      return (await this.#retire(where, key, found.error)) ?? this.#look(directory, name);
    }
    if (!name.endsWith(RECORD_SUFFIX)) return undefined;
    return { where, error: new BitsStoreError('foreign', `${where} is not named as a job record`) };
  }

  /** Undefined when there is no such file; an error as a value, since listing goes on. */
  async #read(path: string, key: string): Promise<Found | undefined> {
    try {
      const content = await this.#files.read(path, MAX_RECORD_BYTES);
      if (content === undefined) return undefined;
      const record = parseRecord(decodeUtf8(content));
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

  /**
   * The caller holds the lock, so that nobody else renames the file.
   * @returns undefined when no record is there
   */
  async #makeWay(path: string, key: string): Promise<Written | undefined> {
    const found = await this.#read(path, key);
    if (found === undefined) return undefined;
    if ('record' in found) {
      const { sessionId, closeUncertain } = found.record.session;
      return { sessionId, closeUncertain, isDurable: false };
    }
    if (found.error.reason !== 'damaged') throw found.error;
    await setFileAside(path, ASIDE_SUFFIX);
    return undefined;
  }
}

/** What a power cut must leave of a record and the one before it. */
function whatMustStay(record: JobRecord, before: Written | undefined): AfterPowerCut {
  const { session, createdAtMs, updatedAtMs } = record;
  // That a Close may have worked must not come back once a Cancel has ended the session.
  if (before?.closeUncertain) return 'new';
  const ageMs = updatedAtMs - createdAtMs;
  // Most uploads are over before a disk has stored a record. A clock that was set back proves nothing.
  if (!before?.isDurable && ageMs >= 0 && ageMs < UNSYNCED_MS) return 'nothing';
  if (session.closeUncertain || !before?.isDurable) return 'new';
  // Of the same session an older record serves as well: the server says where the upload stands.
  return before.sessionId === session.sessionId ? 'new-or-old' : 'new';
}

/** False only when there is certainly no such file. */
function isThere(path: string): Promise<boolean> {
  // Not the one of fs/promises, whose error for a missing file costs more than looking for the file.
  return new Promise((resolve) => {
    access(path, constants.F_OK, (error) => resolve(error?.code !== 'ENOENT'));
  });
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await unlessMissing(readdir(directory))) ?? [];
  } catch (error) {
    throw fileSystemError('read the job records in', directory, error);
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new BitsStoreError('damaged', 'it is not UTF-8');
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
