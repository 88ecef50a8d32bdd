import type { BitsStoreError } from '../errors.js';
import type { JobRecord } from './record.js';

/**
 * Keeps the records of jobs, so that another process can resume them.
 *
 * Records and locks have the same keys: 32 hexadecimal digits in lower case, of which a store need
 * know no more. Every method throws BITS_ERR_ARGUMENT for a key of another form.
 */
export interface JobStore {
  /**
   * Whether uploads of one fragment have a record and a lock, too: it costs some writes for each, and
   * whoever continues after a crash knows whether the file is in place. @default false
   */
  readonly keepsSmallUploads?: boolean;
  /**
   * Keeps a record under its `key`, in place of the former one: when the process is killed at any
   * moment, one of the two is there, whole. Call it with the lock of the key held.
   * @throws BITS_ERR_STORE when it could not be kept; the former one is then still there
   */
  save(record: JobRecord): Promise<void>;
  /**
   * @returns undefined when there is no record under this key
   * @throws BITS_ERR_STORE when there is a record but it cannot be used
   */
  load(key: string): Promise<JobRecord | undefined>;
  /**
   * All records that can be used, and what else there is.
   * @throws BITS_ERR_STORE when the store as a whole cannot be read
   */
  list(): Promise<StoredJobs>;
  /** Drops a record; dropping one that is not there is no error. Call it with the lock held. */
  remove(key: string): Promise<void>;
  /**
   * Locks a key, so that no other process, and no other caller in this one, uses the record.
   *
   * Answers at once, or after some seconds when the holder is on another machine; a holder that
   * died does not count. Never waits for a holder to finish.
   * @throws BITS_ERR_STORE when locks cannot be kept at all
   */
  lock(key: string): Promise<LockResult>;
  /**
   * Who holds the lock of a key, without taking it; undefined: nobody.
   *
   * Answers at once, or after some seconds when the holder may be on another machine.
   * @throws BITS_ERR_STORE when locks cannot be read
   */
  holder(key: string): Promise<LockOwner | undefined>;
}

/** What a store holds. */
export interface StoredJobs {
  /** By the time of their creation, the oldest one first. */
  readonly records: readonly JobRecord[];
  /** Unreadable records and foreign files; none of them is ever deleted or overwritten. */
  readonly problems: readonly StoreProblem[];
}

/** Something in a store that is no usable record. */
export interface StoreProblem {
  /** The file, or another way to find it. */
  readonly where: string;
  readonly error: BitsStoreError;
}

/** Either the lock, or who holds it. */
export type LockResult =
  | { readonly lock: JobLock; readonly holder?: undefined }
  | { readonly lock?: undefined; readonly holder: LockOwner };

/** A lock that this process holds. */
export interface JobLock {
  readonly owner: LockOwner;
  /**
   * Aborted when somebody else has the lock now: another machine saw no sign of life for too long,
   * or the lock was removed by hand and taken. Stop the job then.
   */
  readonly lost: AbortSignal;
  /** Calling it twice is no error. */
  release(): Promise<void>;
}

/** The process that holds a lock. */
export interface LockOwner {
  readonly pid: number;
  readonly hostName: string;
}
