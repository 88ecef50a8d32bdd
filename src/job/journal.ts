import { v5 as uuidV5 } from 'uuid';
import { isErrorLike } from '../common/error-like.js';
import { BitsStateError, isBitsError } from '../errors.js';
import { snapshotAfterCancel } from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import type { JobRecord } from '../store/record.js';
import { bareUrl, hashQuery, isUrlOf } from '../store/record-url.js';
import { findRecord, type JobLock, type JobStore, type LockOwner } from '../store/store.js';
import type { UploadWarning } from './hooks.js';
import { type RecordBase, recordOf } from './job-records.js';
import type { Leftover } from './leftover.js';
import type { ResolvedOptions } from './options.js';

/** Between changes of the state, a record is written at most so often. */
const MIN_INTERVAL_MS = 1000;

/** Servers forget sessions after this time by default ([MC-BUP] §3.2.1). */
const MAX_AGE_MS = 14 * 24 * 60 * 60 * 1000;

/** Name space of locks: one for each pair of file and URL. */
const LOCK_NAMESPACE = '0193b5a6-5d3f-7c11-9a52-6b1f0e6c9d27';

export interface JournalRequest {
  readonly store: JobStore;
  readonly id: string;
  readonly identity: SourceIdentity;
  readonly remoteUrl: URL;
  readonly options: ResolvedOptions;
  /** The record that the job goes on from, if it does. */
  readonly record: JobRecord | undefined;
  readonly warn: (warning: UploadWarning) => void;
  readonly wallNow: () => number;
}

/** An earlier upload of the same file to the same URL that is not gone on with. */
export interface Abandoned {
  readonly record: JobRecord;
  /** To follow `because`. */
  readonly reason: string;
}

/** Keeps a job's record while it runs, and holds the lock that keeps other processes off. */
export class Journal {
  /** The record to go on from, as it was when the lock was taken. */
  readonly found: JobRecord | undefined;
  /** Their sessions are to be freed, since one that is left over may block the URL. */
  readonly abandoned: readonly Abandoned[];
  /** Aborted when another process may have taken over. */
  readonly lost: AbortSignal;
  readonly #request: JournalRequest;
  readonly #base: RecordBase;
  readonly #lock: JobLock;
  #writing: Promise<void> = Promise.resolve();
  #next: JobRecord | undefined;
  #written: JobRecord | undefined;
  #writtenMs = Number.NEGATIVE_INFINITY;
  #saved: boolean;
  #warned = false;

  /**
   * Takes the lock and looks for a record to go on from.
   *
   * A store that does not work costs resumability, not the upload: undefined, and a warning.
   * @throws BITS_ERR_STATE when another process uploads this file to this URL, or has ended the job
   */
  static async open(request: JournalRequest): Promise<Journal | undefined> {
    const { store, identity, remoteUrl, record, options, warn } = request;
    let lock: JobLock | undefined;
    try {
      const key = lockKey(bareUrl(remoteUrl), identity.path);
      const claim = await store.lock(key);
      lock = claim.lock;
      if (claim.lock === undefined) {
        const { pid, hostName } = claim.holder;
        throw new BitsStateError(
          `process ${pid} on ${hostName} is uploading this file to this URL; wait for it or stop it`,
        );
      }
      let found: JobRecord | undefined;
      if (record !== undefined) {
        found = await store.load(record.id);
        if (found === undefined) {
          throw new BitsStateError(
            `job ${record.id} was finished, cancelled or dropped by another process`,
          );
        }
      } else if (options.resume) {
        const { path, byteLength, mtimeNs } = identity;
        const search = await findRecord(store, { path, byteLength, mtimeNs, url: remoteUrl });
        if (search.record !== undefined && !isOutdated(search.record, request)) {
          found = search.record;
        }
        for (const { where, error } of search.problems) {
          warn({ code: 'record-unusable', message: `${where}: ${error.message}` });
        }
      }
      const queryHash = await hashQuery(remoteUrl, found?.id ?? request.id);
      const abandoned = await abandonedRecords(request, found);
      return new Journal(request, claim.lock, found, abandoned, queryHash);
    } catch (error) {
      await lock?.release();
      if (!isBitsError(error) || error.code !== 'BITS_ERR_STORE') throw error;
      warn({
        code: 'store-unusable',
        message: `the upload goes on without a record, so it cannot be resumed: ${error.message}`,
      });
      return undefined;
    }
  }

  private constructor(
    request: JournalRequest,
    lock: JobLock,
    found: JobRecord | undefined,
    abandoned: readonly Abandoned[],
    queryHash: string | undefined,
  ) {
    this.#request = request;
    this.#lock = lock;
    this.lost = lock.lost;
    this.found = found;
    this.abandoned = abandoned;
    this.#saved = found !== undefined;
    this.#base = {
      id: found?.id ?? request.id,
      url: bareUrl(request.remoteUrl),
      queryHash,
      source: request.identity,
      createdAtMs: found?.createdAtMs ?? request.wallNow(),
    };
  }

  /** The job's id: that of the record it goes on from. */
  get id(): string {
    return this.#base.id;
  }

  /** The last record that is kept for certain; undefined: none is. */
  get record(): JobRecord | undefined {
    return this.#saved ? (this.#written ?? this.found) : undefined;
  }

  /** Whether another process would find the job. */
  get saved(): boolean {
    return this.#saved;
  }

  /** Notes where the job stands; writes it when it is time to. */
  note(leftover: Pick<Leftover, 'session' | 'replyPoint'>): void {
    const { session } = leftover;
    // Before the first session there is nothing to go on with; later a lost one must not stay.
    if (session.sessionId === undefined && this.#next === undefined && !this.#saved) return;
    const { wallNow, options } = this.#request;
    this.#next = recordOf(this.#base, leftover, options, wallNow());
    const due = performance.now() - this.#writtenMs >= MIN_INTERVAL_MS;
    if (due || session.state !== this.#written?.state) this.#write();
  }

  /** Resolves when what was noted last is written, or could not be. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  /**
   * Notes of an abandoned job that a Cancel-Session may have ended its session: a server that does not
   * know it any more then no longer proves that an unanswered Close put the file in place.
   */
  async doubtClose(record: JobRecord): Promise<void> {
    const session = snapshotAfterCancel(record.session);
    await this.#attempt(() => this.#request.store.save({ ...record, session }));
  }

  /** Drops the record of an abandoned job. */
  async drop(record: JobRecord): Promise<void> {
    await this.#attempt(() => this.#request.store.remove(record.id));
  }

  /** Lets go of the job; `remove` when there is nothing left to go on with. */
  async close({ remove }: { readonly remove: boolean }): Promise<void> {
    if (remove) {
      await this.#writing;
      this.#saved = false;
      await this.#attempt(() => this.#request.store.remove(this.#base.id));
    } else {
      await this.flush();
    }
    await this.#attempt(() => this.#lock.release());
  }

  #write(): void {
    const record = this.#next;
    if (record === undefined || record === this.#written) return;
    this.#written = record;
    this.#writtenMs = performance.now();
    this.#writing = this.#writing.then(async () => {
      // A later one says more; this one need not be written any more.
      if (record !== this.#next) return;
      await this.#attempt(async () => {
        await this.#request.store.save(record);
        this.#saved = true;
      });
    });
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#warned) return;
      this.#warned = true;
      const message = isErrorLike(error) ? error.message : String(error);
      this.#request.warn({
        code: 'record-not-kept',
        message: `the upload goes on, but may not be resumable: ${message}`,
      });
    }
  }
}

/** The process that drives the job of a record just now, if one does. */
export function holderOf(store: JobStore, record: JobRecord): Promise<LockOwner | undefined> {
  return store.holder(lockKey(record.url, record.source.path));
}

/** One lock for a file and a URL, so that two jobs cannot be begun for them at once either. */
export function lockKey(url: string, path: string): string {
  return uuidV5(`${url}\n${path}`, LOCK_NAMESPACE);
}

async function abandonedRecords(
  request: JournalRequest,
  found: JobRecord | undefined,
): Promise<readonly Abandoned[]> {
  const { identity, remoteUrl } = request;
  const { records } = await request.store.list();
  const abandoned: Abandoned[] = [];
  for (const record of records) {
    const { id, url, source } = record;
    if (id === found?.id || url !== bareUrl(remoteUrl) || source.path !== identity.path) continue;
    const reason = await reasonToAbandon(record, request);
    if (reason !== undefined) abandoned.push({ record, reason });
  }
  return abandoned;
}

async function reasonToAbandon(
  record: JobRecord,
  request: JournalRequest,
): Promise<string | undefined> {
  if (!isSameFile(record.source, request.identity)) return 'the file has changed since';
  if (isTooOld(record, request.wallNow())) return 'it is too old';
  const { options, remoteUrl } = request;
  const unwanted = !options.resume && (await isUrlOf(record, remoteUrl));
  return unwanted ? 'this one begins anew' : undefined;
}

function isOutdated(record: JobRecord, { identity, wallNow }: JournalRequest): boolean {
  return isTooOld(record, wallNow()) || !isSameFile(record.source, identity);
}

function isTooOld(record: JobRecord, nowMs: number): boolean {
  return nowMs - record.updatedAtMs > MAX_AGE_MS;
}

/** Whether a file is, as far as anybody can tell without reading it, what it was. */
export function isSameFile(a: SourceIdentity, b: SourceIdentity): boolean {
  return a.byteLength === b.byteLength && a.mtimeNs === b.mtimeNs && a.inode === b.inode;
}
