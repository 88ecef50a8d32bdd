import { onAbort, throwIfAborted, unlessAborted } from '../common/abort.js';
import { describeError, isErrorLike } from '../common/error-like.js';
import { BitsStateError, BitsStoreError, isBitsError } from '../errors.js';
import { type Session, snapshotAfterCancel } from '../session/session.js';
import { type SourceIdentity, sourceIdentityChange } from '../source/source.js';
import { bareUrl, hashQuery, keyOfId, uploadKey } from '../store/job-key.js';
import { type JobRecord, parseRecord } from '../store/record.js';
import type { JobLock, JobStore } from '../store/store.js';
import { fromStore } from '../store/store-error.js';
import { type Checkpoint, type RecordBase, recordOf } from './checkpoint.js';
import type { UploadWarning } from './events.js';
import { withPatience } from './guarded-source.js';
import type { ResolvedOptions } from './resolve-options.js';

/** Between changes of the state, a record is written at most so often. */
const MIN_INTERVAL_MS = 1000;

/** Servers forget sessions after this time by default ([MC-BUP] §3.2.1). */
const MAX_AGE_MS = 14 * 24 * 60 * 60 * 1000;

/** How long a run that has ended waits for a store that does not answer. */
const CLOSE_PATIENCE_MS = 5000;

export interface RecordRequest {
  readonly store: JobStore;
  readonly id: string;
  readonly identity: SourceIdentity;
  readonly remoteUrl: URL;
  readonly options: ResolvedOptions;
  /** What this job continues from; the store may know nothing of it. */
  readonly checkpoint: Checkpoint | undefined;
  /**
   * What a record would save costs less than the record: there is none, and no lock, until something
   * goes wrong.
   */
  readonly isSmall: boolean;
  readonly warn: (warning: UploadWarning) => void;
  /** Ends every wait for the store but those of {@link RecordKeeper.close}. */
  readonly signal: AbortSignal;
}

/** Where a record is kept: by the file, the URL and its query. */
type Place = Pick<RecordBase, 'key' | 'url' | 'queryHash'>;

/** An earlier upload of the same file to the same URL that cannot be resumed. */
export interface AbandonedUpload {
  readonly record: JobRecord;
  /** To follow `because`. */
  readonly reason: string;
}

/** Keeps a job's record while it runs, and holds the lock that keeps other processes away. */
export class RecordKeeper {
  /** The record to resume from, as it was when the lock was taken; from now on overwritten with this job's state. */
  readonly found: JobRecord | undefined;
  /** Its session is to be freed: one that is left may block the URL. */
  readonly abandoned: AbandonedUpload | undefined;
  /** Aborted when another process may have taken over. */
  readonly lost: AbortSignal;
  readonly #lost = new AbortController();
  readonly #request: RecordRequest;
  readonly #base: RecordBase;
  /** Undefined while a small upload goes well. */
  #lock: JobLock | undefined;
  /** Nothing is kept of a small upload that goes well. */
  #isQuiet: boolean;
  #writing: Promise<void> = Promise.resolve();
  #next: JobRecord | undefined;
  #written: JobRecord | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  /** See {@link record}. */
  #kept: JobRecord | undefined;
  #hasWarned = false;

  /**
   * Takes the lock and looks for a record to resume from; for a small upload it only looks.
   *
   * A store that does not work costs the ability to resume, not the upload: undefined, and a warning.
   * @throws BITS_ERR_STATE when another process uploads this file to this URL, or has ended the job
   */
  static async open(request: RecordRequest): Promise<RecordKeeper | undefined> {
    let lock: JobLock | undefined;
    try {
      const place = await placeOf(request);
      if (request.isSmall && !(await mayHaveRecord(request, place))) {
        return new RecordKeeper(request, undefined, place, NO_EARLIER);
      }
      lock = await takeLock(request.store, place.key, request.signal);
      return new RecordKeeper(request, lock, place, await findEarlier(request, place));
    } catch (error) {
      if (lock !== undefined) await withPatience(release(lock), CLOSE_PATIENCE_MS);
      if (!isBitsError(error, 'BITS_ERR_STORE')) throw error;
      request.warn({
        code: 'store-unusable',
        message: `The upload continues without a record, so it cannot be resumed: ${error.message}`,
      });
      return undefined;
    }
  }

  private constructor(
    request: RecordRequest,
    lock: JobLock | undefined,
    place: Place,
    { found, abandoned }: Earlier,
  ) {
    this.#request = request;
    this.#isQuiet = lock === undefined;
    this.lost = this.#lost.signal;
    if (lock !== undefined) this.#hold(lock);
    this.found = found;
    this.abandoned = abandoned;
    this.#kept = found;
    this.#base = {
      ...place,
      id: request.id,
      replyPartId: found?.reply?.partId ?? found?.id ?? request.id,
      source: request.identity,
      createdAtMs: found?.createdAtMs ?? Date.now(),
    };
  }

  /** The id by which an unfinished reply is found: that of the job that began to download it. */
  get replyPartId(): string {
    return this.#base.replyPartId;
  }

  /** What the store has for certain, for another process to find; undefined: nothing. */
  get record(): JobRecord | undefined {
    return this.#kept;
  }

  /** Notes where the job stands; writes it when it is time to. */
  note(checkpoint: Pick<Checkpoint, 'session' | 'replyPoint'>): void {
    const { session } = checkpoint;
    if (this.#isQuiet && !hasTrouble(session)) return;
    // Before the first session there is nothing to resume; later a lost one must not stay.
    if (session.sessionId === undefined && (this.#next ?? this.#kept) === undefined) return;
    this.#isQuiet = false;
    this.#next = recordOf(this.#base, checkpoint, this.#request.options, Date.now());
    const isDue = performance.now() - this.#writtenAtMs >= MIN_INTERVAL_MS;
    if (isDue || session.state !== this.#written?.state) this.#write();
  }

  /** Resolves when what was noted last is written, or could not be, or the job is stopped. */
  async flush(): Promise<void> {
    await unlessAborted(this.#flush(), this.#request.signal).catch(() => {});
  }

  /**
   * Notes of an abandoned upload that a Cancel-Session may end its session: after that, "session not
   * found" no longer proves that an unanswered Close worked.
   */
  async doubtClose(record: JobRecord): Promise<void> {
    if (!record.session.closeUncertain) return;
    await this.#whileWanted(() => this.#request.store.save(afterCancel(record)));
  }

  /** Moves the record of an abandoned upload, whose session can still be freed by its id. */
  async setAside(record: JobRecord): Promise<void> {
    const { store } = this.#request;
    await this.#whileWanted(async () => {
      await store.save({ ...afterCancel(record), key: keyOfId(record.id) });
      await store.remove(record.key);
    });
  }

  /** Drops the record of an abandoned upload. */
  async drop(record: JobRecord): Promise<void> {
    await this.#whileWanted(() => this.#request.store.remove(record.key));
  }

  /** Lets go of the job; `remove` when there is nothing left to resume. */
  async close({ remove }: { readonly remove: boolean }): Promise<void> {
    await withPatience(this.#close(remove), CLOSE_PATIENCE_MS);
  }

  async #close(remove: boolean): Promise<void> {
    if (remove) {
      await this.#writing;
      const isSaved = this.#kept !== undefined && !this.#lost.signal.aborted;
      this.#kept = undefined;
      if (isSaved) {
        await this.#attempt(() => this.#request.store.remove(this.#base.key), NOT_REMOVED);
      }
    } else {
      await this.#flush();
    }
    await this.#attempt(async () => this.#lock?.release());
  }

  async #flush(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  #write(): void {
    const record = this.#next;
    if (record === undefined || record === this.#written) return;
    this.#written = record;
    this.#writtenAtMs = performance.now();
    this.#writing = this.#writing.then(async () => {
      // A later one says more; this one need not be written any more.
      if (record !== this.#next || this.#lost.signal.aborted) return;
      await this.#attempt(async () => {
        if (this.#lock === undefined) await this.#claim();
        await this.#request.store.save(record);
        this.#kept = record;
      });
    });
  }

  /**
   * Takes the lock for the first record of a small upload.
   * @throws BITS_ERR_STATE when another process uploads the file by now, or has left a record of it
   */
  async #claim(): Promise<void> {
    const { store } = this.#request;
    const { key } = this.#base;
    const lock = await takeLock(store, key);
    try {
      if ((await store.load(key)) !== undefined) {
        throw new BitsStateError(
          'Another process has left an unfinished upload of this file to this URL.',
        );
      }
    } catch (error) {
      await release(lock);
      throw error;
    }
    this.#hold(lock);
  }

  #hold(lock: JobLock): void {
    this.#lock = lock;
    onAbort(lock.lost, () => this.#lost.abort());
  }

  /** Waits no longer than until the job is stopped; {@link close} then waits in its place. */
  async #whileWanted(work: () => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (!this.#lost.signal.aborted) await this.#attempt(work);
    });
    await unlessAborted(this.#writing, this.#request.signal).catch(() => {});
  }

  async #attempt(work: () => Promise<void>, costs: UploadWarning = NOT_KEPT): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      const reason = isErrorLike(error) ? error.message : describeError(error);
      this.#request.warn({ ...costs, message: `${costs.message}: ${reason}` });
    }
  }
}

function afterCancel(record: JobRecord): JobRecord {
  return { ...record, session: snapshotAfterCancel(record.session) };
}

/** What it costs when the store fails; the reason follows. */
const NOT_KEPT: UploadWarning = {
  code: 'record-not-kept',
  message: 'The upload continues, but it may not be possible to resume it',
};

const NOT_REMOVED: UploadWarning = {
  code: 'record-not-removed',
  message:
    'The upload is over, but its record could not be removed, so that the next upload of this file to ' +
    'this URL takes it for unfinished',
};

type Earlier = Pick<RecordKeeper, 'found' | 'abandoned'>;

const NO_EARLIER: Earlier = { found: undefined, abandoned: undefined };

/** Something failed or was stopped, or a process that dies now would lose acknowledged bytes. */
function hasTrouble({ awaiting, offset, plan }: Session): boolean {
  const isPartial = offset > 0 && offset < plan.totalBytes;
  return awaiting === 'retry' || awaiting === 'caller' || isPartial;
}

/** A store that fails says why when its lock is taken. */
async function mayHaveRecord({ store, signal }: RecordRequest, { key }: Place): Promise<boolean> {
  try {
    return (await unlessAborted(store.load(key), signal)) !== undefined;
  } catch {
    throwIfAborted(signal);
    return true;
  }
}

async function placeOf({ remoteUrl, identity, checkpoint }: RecordRequest): Promise<Place> {
  const record = checkpoint?.record;
  const url = bareUrl(remoteUrl);
  const { path } = identity;
  // A restored job keeps the query that it was started with: others find its record by it.
  const queryHash = record?.url === url ? record.queryHash : await hashQuery(remoteUrl, path);
  return { key: record?.key ?? uploadKey({ url, queryHash, path }), url, queryHash };
}

async function takeLock(store: JobStore, key: string, signal?: AbortSignal): Promise<JobLock> {
  const locking = fromStore('lock the job', () => store.lock(key));
  let claim: Awaited<typeof locking>;
  try {
    claim = await unlessAborted(locking, signal);
  } catch (error) {
    // Nobody waits for a lock that comes too late.
    locking.then(({ lock }) => lock && release(lock)).catch(() => {});
    throw error;
  }
  if (claim?.lock !== undefined) return claim.lock;
  if (claim?.holder === undefined) {
    throw new BitsStoreError('unavailable', 'The store gave neither a lock nor its holder');
  }
  const { pid, hostName } = claim.holder;
  throw new BitsStateError(
    `Process ${pid} on ${hostName} is uploading this file to this URL: wait until it has finished, or stop it.`,
  );
}

/** @throws BITS_ERR_STORE, also for what is no record */
async function loaded(store: JobStore, key: string): Promise<JobRecord | undefined> {
  const record = await fromStore('load the record', () => store.load(key));
  return record === undefined ? undefined : parseRecord(record);
}

async function release(lock: JobLock): Promise<void> {
  await lock.release().catch(() => {});
}

/** What the store has of this job, or of an earlier one of the same file and URL. */
async function findEarlier(request: RecordRequest, place: Place): Promise<Earlier> {
  const { store, checkpoint, signal, warn } = request;
  if (checkpoint?.record !== undefined) {
    const found = await unlessAborted(loaded(store, place.key), signal);
    // Perhaps of a job that resumed this one, and was stopped in turn.
    if (found !== undefined) return { found, abandoned: undefined };
    throw new BitsStateError(
      `Another process has finished, cancelled or dropped job ${checkpoint.record.id}.`,
    );
  }
  try {
    const found = await unlessAborted(loaded(store, place.key), signal);
    const reason = found && reasonToAbandon(found, request, place);
    return found === undefined || reason === undefined
      ? { found, abandoned: undefined }
      : { found: undefined, abandoned: { record: found, reason } };
  } catch (error) {
    if (!isBitsError(error, 'BITS_ERR_STORE')) throw error;
    warn({ code: 'record-unusable', message: error.message });
    return NO_EARLIER;
  }
}

function reasonToAbandon(
  record: JobRecord,
  { identity, options, checkpoint }: RecordRequest,
  { url, queryHash }: Place,
): string | undefined {
  const { source } = record;
  const isOther = source.path !== identity.path || record.url !== url;
  if (isOther || record.queryHash !== queryHash) return 'it was restored for another file or URL';
  if (sourceIdentityChange(source, identity) === 'changed') return 'the file has changed since';
  if (isTooOld(record)) return 'it is too old';
  if (checkpoint?.session.sessionId !== undefined) return 'this one has a session of its own';
  return options.resume ? undefined : 'this one starts over';
}

function isTooOld(record: JobRecord): boolean {
  return Date.now() - record.updatedAtMs > MAX_AGE_MS;
}
