import type { BitsStoreError } from '../errors.js';
import type { JobRecord } from './record.js';
import { isUrlOf } from './record-url.js';

/** Keeps the records of jobs, so that another process can go on with them. */
export interface JobStore {
  /**
   * Keeps a record in place of the job's former one: after a crash at any moment, one of the two
   * is there, whole. Call it with the job's lock held.
   * @throws BITS_ERR_STORE when it could not be kept; the former one then still is
   */
  save(record: JobRecord): Promise<void>;
  /**
   * @returns undefined when the store knows no such job
   * @throws BITS_ERR_STORE when there is a record but it cannot be used
   */
  load(id: string): Promise<JobRecord | undefined>;
  /**
   * All records that can be used, and what there is besides.
   * @throws BITS_ERR_STORE when the store as a whole cannot be read
   */
  list(): Promise<StoredJobs>;
  /** Drops a record; to drop one that is not there is no error. Call it with the lock held. */
  remove(id: string): Promise<void>;
  /**
   * Claims a job, so that no other process and no other caller in this one drives it.
   *
   * Answers at once, or after some seconds when the holder is on another machine; a holder that
   * died does not count. Never waits for a holder to finish.
   * @throws BITS_ERR_STORE when locks cannot be kept at all
   */
  lock(id: string): Promise<LockResult>;
  /**
   * Who holds a job's lock, for those who only look; undefined: nobody.
   *
   * Answers at once, or after some seconds when the holder may be on another machine.
   * @throws BITS_ERR_STORE when locks cannot be read
   */
  holder(id: string): Promise<LockOwner | undefined>;
}

export interface StoredJobs {
  readonly records: readonly JobRecord[];
  /** Unreadable records and foreign files; none of them is ever deleted or overwritten. */
  readonly problems: readonly StoreProblem[];
}

export interface StoreProblem {
  /** The file, or another way to find it. */
  readonly where: string;
  readonly error: BitsStoreError;
}

export type LockResult =
  | { readonly lock: JobLock; readonly holder?: undefined }
  | { readonly lock?: undefined; readonly holder: LockOwner };

export interface JobLock {
  readonly owner: LockOwner;
  /**
   * Aborted when the lock was taken away: its file was deleted, or another machine saw no sign of
   * life for too long. Stop driving the job then.
   */
  readonly lost: AbortSignal;
  /** Calling it twice is no error. */
  release(): Promise<void>;
}

export interface LockOwner {
  readonly pid: number;
  readonly hostName: string;
}

export interface RecordQuery {
  /** Absolute path. */
  readonly path: string;
  readonly byteLength: number;
  /** Decimal string. */
  readonly mtimeNs: string;
  readonly url: URL;
}

/**
 * Looks for the job that uploads this file to this URL; of several, the one that came furthest.
 *
 * `problems` are those of `list()`: with any, the job may exist although no record was found.
 * @throws BITS_ERR_STORE when the store as a whole cannot be read
 */
export async function findRecord(
  store: JobStore,
  query: RecordQuery,
): Promise<{ record: JobRecord | undefined; problems: readonly StoreProblem[] }> {
  const { records, problems } = await store.list();
  let best: JobRecord | undefined;
  for (const record of records) {
    const { source } = record;
    if (source.path !== query.path || source.byteLength !== query.byteLength) continue;
    if (source.mtimeNs !== query.mtimeNs || !(await isUrlOf(record, query.url))) continue;
    if (best === undefined || isFurther(record, best)) best = record;
  }
  return { record: best, problems };
}

function isFurther(a: JobRecord, b: JobRecord): boolean {
  if (a.session.offset !== b.session.offset) return a.session.offset > b.session.offset;
  return a.updatedAtMs > b.updatedAtMs;
}
