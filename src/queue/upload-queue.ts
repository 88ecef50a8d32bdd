import { EventEmitter } from 'node:events';
import { unlessAborted } from '../common/abort.js';
import { assertOptions } from '../common/check-options.js';
import { Deferred } from '../common/deferred.js';
import { tell } from '../common/tell.js';
import { BitsAbortError, BitsArgumentError, type BitsError, isBitsError } from '../errors.js';
import type { Bandwidth } from '../job/bandwidth.js';
import type { UploadResult, UploadState } from '../job/events.js';
import type { Lifecycle } from '../job/lifecycle.js';
import type { RetryDecision } from '../job/options.js';
import type { UploadProgress } from '../job/progress.js';
import { admission, UploadJob } from '../job/upload-job.js';
import type { JobRecord } from '../store/record.js';
import { fromStore } from '../store/store-error.js';
import {
  type AutoConcurrency,
  fileEnded,
  MAX_LIMIT,
  newAutoConcurrency,
  troubled,
} from './auto-concurrency.js';
import { type Attempt, Hosts } from './hosts.js';
import { Line, type Priority } from './line.js';
import {
  checkConcurrency,
  type QueuedUploadOptions,
  type QueueOptions,
  resolveQueueOptions,
  withDefaults,
} from './options.js';
import { NO_SHARE, type QueueProgress, QueueTotals, type Share } from './queue-progress.js';

/** The events of an `UploadQueue`, and what their listeners get. */
export interface UploadQueueEvents {
  /** It is a job's turn. */
  start: [job: UploadJob];
  done: [job: UploadJob, result: UploadResult];
  /** Also of a job that was not begun, because its host is given up, or that was cleared. */
  failed: [job: UploadJob, error: BitsError];
  /** `addAll` met options that make no job. */
  refused: [options: QueuedUploadOptions, error: BitsError];
  progress: [progress: QueueProgress];
  /** Nothing waits any more, and nothing runs. */
  idle: [progress: QueueProgress];
}

/** What became of the records of a store. */
export interface RestoredJobs {
  readonly jobs: readonly UploadJob[];
  /** Records that make no job: why, and which, as far as that is known. */
  readonly problems: readonly {
    readonly error: BitsError;
    readonly record?: JobRecord | undefined;
  }[];
}

/** Whoever adds many jobs waits while so many wait for their turn. */
const MAX_AHEAD = 2 * MAX_LIMIT;

/** A job of the queue that has not ended. */
interface Entry {
  readonly job: UploadJob;
  readonly priority: Priority;
  readonly attempt: Attempt;
  /** Whether it has had its turn. */
  isAdmitted: boolean;
  /** Where it goes once it is suspended, by what was asked for last. */
  onRest: 'wait' | 'leave' | 'refuse';
  share: Share;
  readonly stopWatching: () => void;
}

/**
 * Many jobs: some at once, the others when it is their turn.
 *
 * A failed job stops no other one. Its failure is told by the event `failed`, counts in the progress,
 * and rejects the job's `result`; a job of a queue never causes an unhandled rejection. When a host
 * refuses the credentials, or does not respond to two jobs in a row, the jobs that go there fail
 * without being begun.
 */
export class UploadQueue extends EventEmitter<UploadQueueEvents> {
  /** The limit that all jobs share, to change it while they run. */
  readonly bandwidth: Bandwidth | undefined;
  readonly #defaults: Partial<QueuedUploadOptions>;
  readonly #hosts: Hosts;
  readonly #line = new Line<Entry>();
  /** By id: every job that has not ended; those that are not in the line were suspended by their user. */
  readonly #entries = new Map<string, Entry>();
  readonly #totals = new QueueTotals(() => tell(this, 'progress', this.progress));
  #concurrency: number | 'auto';
  #auto: AutoConcurrency = newAutoConcurrency(performance.now());
  #isPaused = false;
  #isLooking = false;
  #isIdle = true;
  /** Calls of `addAll` and `restore` under way. */
  #sources = 0;
  /** Aborted by `clear`, which ends what came before it. */
  #clearing = new AbortController();
  #room: Deferred<void> | undefined;
  #idle: Deferred<QueueProgress> | undefined;

  /** @throws BITS_ERR_ARGUMENT for options that cannot work */
  constructor(options: QueueOptions = {}) {
    super();
    const { concurrency, defaults, bandwidth, unreachableAfterMs } = resolveQueueOptions(options);
    this.#concurrency = concurrency;
    this.bandwidth = bandwidth;
    this.#defaults = { bandwidth, ...defaults };
    this.#hosts = new Hosts({ unreachableAfterMs });
  }

  /** How many jobs run at once; may be changed at any time. Those that run are not stopped for it. */
  get concurrency(): number | 'auto' {
    return this.#concurrency;
  }

  set concurrency(value: number | 'auto') {
    this.#concurrency = checkConcurrency(value);
    this.#auto = newAutoConcurrency(performance.now());
    this.#lookSoon();
  }

  /** Whether `pause()` was called, and `resume()` not since. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** How far all jobs together are. */
  get progress(): QueueProgress {
    const line = this.#line;
    const filesWaiting = line.count('waiting') + line.count('interrupted');
    const filesRunning = line.count('running') + line.count('stopping');
    const filesSuspended = this.#entries.size - filesWaiting - filesRunning;
    return this.#totals.progress({ filesWaiting, filesRunning, filesSuspended });
  }

  /**
   * Adds a job, which begins when it is its turn; `start()` of the job does not hurry it.
   *
   * The queue lets go of a job that has ended. A job that its user suspends leaves its place to others;
   * `job.resume()` continues it at once.
   * @throws BITS_ERR_ARGUMENT for options that cannot work
   */
  add(options: QueuedUploadOptions): UploadJob {
    const merged = withDefaults(this.#defaults, options);
    const attempt = this.#hosts.attempt(merged.options);
    const job = new UploadJob(attempt.watched(merged.options));
    this.#enter(job, merged.priority, attempt);
    return job;
  }

  /**
   * Adds a job for each of the options, and takes the next of them only when few jobs are waiting: an
   * endless iterable takes no more memory than a short one.
   *
   * Options that make no job are told by the event `refused`, and count as failed.
   * @returns resolves when the last one has been added, or when the queue was cleared
   * @throws BITS_ERR_ARGUMENT for what is no iterable, and what the iterable throws
   */
  async addAll(
    all: Iterable<QueuedUploadOptions> | AsyncIterable<QueuedUploadOptions>,
  ): Promise<void> {
    const given = Object(all);
    const isIterable = Symbol.asyncIterator in given || Symbol.iterator in given;
    if (!isIterable || typeof all === 'string') {
      throw new BitsArgumentError('addAll takes an iterable or async iterable of options.');
    }
    await this.#feeding(async (signal) => {
      const items = each(all);
      try {
        for (;;) {
          const { done, value } = await unlessAborted(items.next(), signal);
          if (done) return;
          await unlessAborted(this.#untilRoom(), signal);
          this.#addOrRefuse(value);
        }
      } finally {
        // Not waited for: it may have nothing to give for ever.
        items.return(undefined).catch(() => {});
      }
    });
  }

  /**
   * Adds a job for each record of the store, but for those whose jobs the queue has already.
   * @param options as of `UploadJob.restore`, over the defaults of the queue; a function gives them for
   *   each record, and undefined leaves it out
   * @throws BITS_ERR_ARGUMENT when the defaults name no store
   * @throws BITS_ERR_STORE when the store cannot be read
   */
  async restore(
    options:
      | Partial<QueuedUploadOptions>
      | ((record: JobRecord) => Partial<QueuedUploadOptions> | undefined) = {},
  ): Promise<RestoredJobs> {
    const { store } = this.#defaults;
    if (store === undefined) {
      throw new BitsArgumentError('restore() needs a store in the defaults of the queue.');
    }
    if (typeof options !== 'function') assertOptions('restore()', options);
    const jobs: UploadJob[] = [];
    const problems: { error: BitsError; record?: JobRecord }[] = [];
    await this.#feeding(async (signal) => {
      const listing = fromStore('list the records', () => store.list());
      const stored = await unlessAborted(listing, signal);
      problems.push(...stored.problems.map(({ error }) => ({ error })));
      for (const record of stored.records) {
        const own = typeof options === 'function' ? options(record) : options;
        if (own === undefined || this.#entries.has(record.id)) continue;
        try {
          const merged = withDefaults(this.#defaults, own);
          const attempt = this.#hosts.attempt({ url: record.url, ...merged.options });
          const watched = attempt.watched(merged.options);
          const job = await UploadJob.restore(store, record, watched);
          if (signal.aborted) return;
          if (this.#entries.has(record.id)) continue;
          this.#enter(job, merged.priority, attempt);
          jobs.push(job);
        } catch (error) {
          if (!isBitsError(error)) throw error;
          problems.push({ error, record });
        }
      }
    });
    return { jobs, problems };
  }

  /** Suspends the running jobs and begins no other; resolves when none is at work any more. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    for (const entry of this.#line.all('running')) this.#line.move(entry, 'stopping');
    await Promise.all(this.#line.all('stopping').map(({ job }) => admission.interrupt(job)));
  }

  /** Continues after `pause()`. */
  resume(): void {
    this.#isPaused = false;
    this.#lookSoon();
  }

  /**
   * Takes out all jobs that wait for their turn, those that are just being suspended included: they fail
   * with BITS_ERR_ABORTED. What the server holds of a suspended one stays, and can be restored. What
   * `addAll` and `restore` have not added yet is not added.
   */
  clear(): void {
    this.#clearing.abort();
    this.#clearing = new AbortController();
    for (const entry of this.#line.all('stopping')) {
      if (entry.onRest === 'wait') entry.onRest = 'refuse';
    }
    const waiting = [...this.#line.all('interrupted'), ...this.#line.all('waiting')];
    for (const { job } of waiting) admission.refuse(job, cleared());
    this.#lookSoon();
  }

  /**
   * Resolves, with what became of all jobs, as soon as none waits or runs. Jobs that their user
   * suspended do not count.
   */
  async onIdle(): Promise<QueueProgress> {
    if (this.#isIdle) return this.progress;
    this.#idle ??= new Deferred();
    return this.#idle.promise;
  }

  get #limit(): number {
    return this.#concurrency === 'auto' ? this.#auto.limit : this.#concurrency;
  }

  #enter(job: UploadJob, priority: Priority, attempt: Attempt): void {
    const onState = (state: UploadState) => {
      attempt.entered(state);
      // Others to the same host may have waited for its first answer.
      this.#lookSoon();
    };
    const onProgress = (progress: UploadProgress) => this.#shareOf(entry, progress);
    const onRetry = ({ error }: RetryDecision) => {
      this.#noteTrouble(error);
      this.#lookSoon();
    };
    const onDone = (result: UploadResult) => {
      const isFull = this.#line.count('running') + this.#line.count('stopping') >= this.#limit;
      this.#auto = fileEnded(this.#auto, performance.now(), { isFull });
      this.#shareOf(entry, { bytesSent: result.bytes, bytesTotal: result.bytes });
      this.#leave(entry, 'done');
      tell(this, 'done', job, result);
    };
    const onFailed = (error: BitsError) => {
      if (entry.isAdmitted) this.#noteTrouble(error);
      const { bytesSent } = entry.share;
      this.#shareOf(entry, { bytesSent, bytesTotal: bytesSent });
      this.#leave(entry, 'failed', error);
      tell(this, 'failed', job, error);
    };
    const stopWatching = () => {
      job.off('state', onState).off('progress', onProgress).off('retry', onRetry);
      job.off('done', onDone).off('failed', onFailed);
    };
    const entry: Entry = {
      job,
      priority,
      attempt,
      isAdmitted: false,
      onRest: 'wait',
      share: NO_SHARE,
      stopWatching,
    };
    job.on('state', onState).on('progress', onProgress).on('retry', onRetry);
    job.on('done', onDone).on('failed', onFailed);
    admission.hold(job, {
      onPhase: (phase) => this.#changed(entry, phase),
      onCall: (call) => this.#called(entry, call),
    });
    this.#entries.set(job.id, entry);
    this.#line.add(entry, priority);
    this.#totals.changed();
    this.#isIdle = false;
    this.#lookSoon();
  }

  #leave(entry: Entry, how: 'done' | 'failed', error?: BitsError): void {
    entry.stopWatching();
    if (entry.isAdmitted) entry.attempt.ended(error);
    this.#line.remove(entry);
    this.#entries.delete(entry.job.id);
    this.#totals.ended(how);
    this.#lookSoon();
  }

  /** Its user asks for something, whatever the queue has just asked the job for. */
  #called(entry: Entry, call: 'suspend' | 'resume'): void {
    entry.onRest = call === 'suspend' ? 'leave' : 'wait';
    if (call !== 'suspend' || this.#line.placeOf(entry) !== 'interrupted') return;
    this.#line.remove(entry);
    this.#totals.changed();
    this.#lookSoon();
  }

  /** The job may have been started, suspended or resumed by its user, too. */
  #changed(entry: Entry, phase: Lifecycle['phase']): void {
    if (!this.#entries.has(entry.job.id)) return;
    if (phase === 'running') {
      entry.isAdmitted = true;
      this.#isIdle = false;
      if (this.#line.placeOf(entry) === undefined) this.#line.add(entry, entry.priority);
      this.#line.move(entry, 'running');
    } else if (phase === 'resting') {
      entry.attempt.ended();
      if (entry.onRest === 'wait') this.#line.move(entry, 'interrupted');
      else if (entry.onRest === 'leave') this.#line.remove(entry);
      else admission.refuse(entry.job, cleared());
      this.#lookSoon();
    }
    this.#totals.changed();
  }

  /** Once a turn, however much happens in it. */
  #lookSoon(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    queueMicrotask(() => {
      this.#isLooking = false;
      this.#look();
    });
  }

  #look(): void {
    const mayStart = ({ attempt }: Entry) => attempt.mayBegin || attempt.reasonToSkip !== undefined;
    while (!this.#isPaused) {
      const turn = this.#line.next(this.#limit, mayStart);
      if (turn === undefined) break;
      if (turn.type === 'start') this.#begin(turn.item);
      else void admission.interrupt(turn.item.job);
    }
    if (this.#line.count('waiting') < MAX_AHEAD) {
      this.#room?.resolve();
      this.#room = undefined;
    }
    this.#lookForEnd();
  }

  #begin(entry: Entry): void {
    const { job, attempt } = entry;
    const reason = attempt.reasonToSkip;
    if (reason !== undefined) {
      admission.refuse(job, reason);
      return;
    }
    attempt.begins();
    if (entry.isAdmitted) {
      // Its failure is told by `failed`.
      job.resume().catch(() => {});
    } else if (admission.admit(job)) {
      tell(this, 'start', job);
    } else {
      this.#line.remove(entry);
    }
  }

  #lookForEnd(): void {
    if (this.#isIdle || this.#sources > 0 || !this.#line.isEmpty) return;
    this.#isIdle = true;
    const { progress } = this;
    this.#idle?.resolve(progress);
    this.#idle = undefined;
    tell(this, 'idle', progress);
  }

  /** @param work adds jobs, and ends when its signal aborts: the queue was cleared */
  async #feeding(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#clearing;
    this.#sources++;
    this.#isIdle = false;
    try {
      await work(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#sources--;
      this.#lookSoon();
    }
  }

  #addOrRefuse(options: QueuedUploadOptions): void {
    try {
      this.add(options);
    } catch (error) {
      if (!isBitsError(error)) throw error;
      this.#totals.ended('failed');
      tell(this, 'refused', options, error);
    }
  }

  async #untilRoom(): Promise<void> {
    while (this.#line.count('waiting') >= MAX_AHEAD) {
      this.#room ??= new Deferred();
      await this.#room.promise;
    }
  }

  #shareOf(entry: Entry, { bytesSent, bytesTotal }: Share): void {
    const isEarlier = entry.share === NO_SHARE && entry.job.resumed;
    this.#totals.moved(entry.share, { bytesSent, bytesTotal }, { isEarlier });
    entry.share = { bytesSent, bytesTotal };
  }

  #noteTrouble(error: BitsError): void {
    if (isTrouble(error)) this.#auto = troubled(this.#auto, performance.now());
  }
}

/** The server is busy, or the connections to it are. */
function isTrouble(error: BitsError): boolean {
  const { code, status } = error as BitsError & { readonly status?: number };
  if (status !== undefined) return status === 429 || status === 503;
  return code === 'BITS_ERR_TRANSPORT' || code === 'BITS_ERR_TIMEOUT';
}

function cleared(): BitsAbortError {
  return new BitsAbortError('The queue was cleared before it was the turn of this job.');
}

async function* each<T>(all: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T, undefined> {
  yield* all;
}
