import { isErrorLike } from '../common/error-like.js';
import { BitsStateError, isBitsError } from '../errors.js';
import type { SourceIdentity } from '../source/source.js';
import { bareUrl, hashQuery, keyOfId, uploadKey } from '../store/job-key.js';
import type { JobRecord } from '../store/record.js';
import type { JobLock, JobStore, LockOwner } from '../store/store.js';
import type { UploadWarning } from './hooks.js';
import { type RecordBase, recordOf } from './job-records.js';
import type { Leftover } from './leftover.js';
import type { ResolvedOptions } from './options.js';

/** Between changes of the state, a record is written at most so often. */
const MIN_INTERVAL_MS = 1000;

/** Servers forget sessions after this time by default ([MC-BUP] §3.2.1). */
const MAX_AGE_MS = 14 * 24 * 60 * 60 * 1000;

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
  /** Its session is to be freed, since one that is left over may block the URL. */
  readonly abandoned: Abandoned | undefined;
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
    const { store, identity, remoteUrl, record, warn } = request;
    let lock: JobLock | undefined;
    try {
      const url = bareUrl(remoteUrl);
      const { path } = identity;
      // A restored job keeps the query that it was started with: others find its record by it.
      const queryHash = record?.url === url ? record.queryHash : await hashQuery(remoteUrl, path);
      const key = record?.key ?? uploadKey({ url, queryHash, path });
      const claim = await store.lock(key);
      lock = claim.lock;
      if (claim.lock === undefined) {
        const { pid, hostName } = claim.holder;
        throw new BitsStateError(
          `process ${pid} on ${hostName} is uploading this file to this URL; wait for it or stop it`,
        );
      }
      const base = { key, url, queryHash };
      if (record !== undefined) {
        const found = await store.load(key);
        if (found?.id !== record.id) {
          throw new BitsStateError(
            `job ${record.id} was finished, cancelled or dropped by another process`,
          );
        }
        return new Journal(request, claim.lock, base, found, undefined);
      }
      const found = await loadIfUsable(store, key, warn);
      const reason = found && reasonToAbandon(found, request, base);
      if (found === undefined || reason === undefined) {
        return new Journal(request, claim.lock, base, found, undefined);
      }
      return new Journal(request, claim.lock, base, undefined, { record: found, reason });
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
    base: Pick<RecordBase, 'key' | 'url' | 'queryHash'>,
    found: JobRecord | undefined,
    abandoned: Abandoned | undefined,
  ) {
    this.#request = request;
    this.#lock = lock;
    this.lost = lock.lost;
    this.found = found;
    this.abandoned = abandoned;
    this.#saved = found !== undefined;
    this.#base = {
      ...base,
      id: found?.id ?? request.id,
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
    const { store } = this.#request;
    const session = { ...record.session, closeUncertain: false };
    const doubted = { ...record, session };
    await this.#attempt(async () => {
      if (record !== this.abandoned?.record) return store.save(doubted);
      // Out of the way of this job's own record, where its session can still be freed by its id.
      await store.save({ ...doubted, key: keyOfId(record.id) });
      await store.remove(record.key);
    });
  }

  /** Drops the record of an abandoned job. */
  async drop(record: JobRecord): Promise<void> {
    await this.#attempt(() => this.#request.store.remove(record.key));
  }

  /** Lets go of the job; `remove` when there is nothing left to go on with. */
  async close({ remove }: { readonly remove: boolean }): Promise<void> {
    if (remove) {
      await this.#writing;
      this.#saved = false;
      await this.#attempt(() => this.#request.store.remove(this.#base.key));
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
  return store.holder(record.key);
}

/** A record that cannot be used costs resumability, not the upload: undefined, and a warning. */
async function loadIfUsable(
  store: JobStore,
  key: string,
  warn: JournalRequest['warn'],
): Promise<JobRecord | undefined> {
  try {
    return await store.load(key);
  } catch (error) {
    if (!isBitsError(error) || error.code !== 'BITS_ERR_STORE') throw error;
    warn({ code: 'record-unusable', message: error.message });
    return undefined;
  }
}

function reasonToAbandon(
  record: JobRecord,
  { identity, options, wallNow }: JournalRequest,
  { url, queryHash }: Pick<RecordBase, 'url' | 'queryHash'>,
): string | undefined {
  const { source } = record;
  const moved = source.path !== identity.path || record.url !== url;
  if (moved || record.queryHash !== queryHash) return 'it was restored for another file or URL';
  if (!isSameFile(source, identity)) return 'the file has changed since';
  if (isTooOld(record, wallNow())) return 'it is too old';
  return options.resume ? undefined : 'this one starts over';
}

function isTooOld(record: JobRecord, nowMs: number): boolean {
  return nowMs - record.updatedAtMs > MAX_AGE_MS;
}

/** Whether a file is, as far as anybody can tell without reading it, what it was. */
export function isSameFile(a: SourceIdentity, b: SourceIdentity): boolean {
  return a.byteLength === b.byteLength && a.mtimeNs === b.mtimeNs && a.inode === b.inode;
}
