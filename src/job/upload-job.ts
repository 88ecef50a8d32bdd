import { EventEmitter } from 'node:events';
import { v7 as uuidV7 } from 'uuid';
import { onAbort, pauseReason } from '../common/abort.js';
import { abortSignal, assertOptions, callOptions } from '../common/check-options.js';
import { later, nextTurn } from '../common/clock.js';
import { Deferred } from '../common/deferred.js';
import { tell } from '../common/tell.js';
import { BitsAbortError, BitsError, BitsStateError, isBitsError } from '../errors.js';
import { assertMayClose, type Session } from '../session/session.js';
import { type JobRecord, parseRecord } from '../store/record.js';
import type { JobStore } from '../store/store.js';
import { fromStore } from '../store/store-error.js';
import type { Bandwidth } from './bandwidth.js';
import { type Checkpoint, checkpointOf, planOf, restoredOptions } from './checkpoint.js';
import { CHANNELS } from './diagnostics.js';
import type { UploadJobEvents, UploadResult, UploadState } from './events.js';
import { disposeSource } from './guarded-source.js';
import {
  type Call,
  type Lifecycle,
  type LifecycleEffect,
  type LifecycleEvent,
  newLifecycle,
  transition,
} from './lifecycle.js';
import type { UploadOptions } from './options.js';
import type { UploadProgress } from './progress.js';
import { ProgressStream } from './progress-stream.js';
import { assertStore, type ResolvedOptions, resolveOptions } from './resolve-options.js';
import { ResultPromise } from './result-promise.js';
import { performRun, type RunEnd, type RunListener } from './run.js';

/** What `UploadJob.toJSON` gives: plain values, without secrets. */
export interface UploadJobJson {
  readonly id: string;
  /** Without its query. */
  readonly url: string;
  /** The source's name, if it has one. */
  readonly source: string | undefined;
  readonly state: UploadState;
  /** The latest progress, if there was any. */
  readonly progress: UploadProgress | undefined;
  /** Whether the job is at work: started, and neither suspended nor ended. */
  readonly isActive: boolean;
}

/** A cancelled job that is aborted as well waits this long for the answer to Cancel-Session. */
const HURRIED_CANCEL_MS = 2000;

/** What a queue is told of a job. */
interface Watcher {
  /** The job begins, is stopped, rests or ends. */
  onPhase(phase: Lifecycle['phase']): void;
  /** What its user asks for, before it is done. */
  onCall(call: 'suspend' | 'resume'): void;
}

/** What a queue does with its jobs, and a caller cannot. */
interface Admission {
  /** Makes `start()` and iterating `progress` wait until the job is admitted. */
  hold(job: UploadJob, watcher: Watcher): void;
  /** @returns false when it did not begin now: its user has started, suspended or cancelled it */
  admit(job: UploadJob): boolean;
  /** As `suspend()`, but not for its user; resolves also when the job has ended. */
  interrupt(job: UploadJob): Promise<void>;
  /** Ends a job that is not at work with an error. */
  refuse(job: UploadJob, error: BitsError): void;
}

export let admission: Admission;

/**
 * One file on its way to a BITS server, from Create-Session to Close-Session.
 *
 * After a failure or an abort that left the server's session open, `resume()` continues where the
 * server stands.
 */
export class UploadJob extends EventEmitter<UploadJobEvents> {
  static {
    admission = {
      hold(job, watcher) {
        job.#isHeld = true;
        job.#watcher = watcher;
      },
      admit(job) {
        job.#isHeld = false;
        const isNew = job.#life.phase === 'idle';
        job.#begin();
        return isNew;
      },
      async interrupt(job) {
        await job.#ask('suspend');
      },
      refuse(job, error) {
        if (job.#life.phase !== 'idle' && job.#life.phase !== 'resting') return;
        job.#runEnd = { kind: 'failed', error, checkpoint: job.#checkpoint };
        job.#dispatch({ type: 'refuse' });
      },
    };
  }

  #id = uuidV7();
  #options: ResolvedOptions;
  #life: Lifecycle = newLifecycle({ hasCheckpoint: false });
  /** Events that came while another one was being carried out. */
  readonly #events: {
    readonly event: LifecycleEvent;
    readonly pending?: PendingCall | undefined;
  }[] = [];
  #isDispatching = false;
  #state: UploadState = 'init';
  #checkpoint: Checkpoint | undefined;
  #session: Session | undefined;
  #resumed = false;
  #interruption = new AbortController();
  #runEnd: RunEnd | undefined;
  #outcome = new ResultPromise();
  readonly #calls: Record<Call, PendingCall[]> = {
    suspend: [],
    resume: [],
    cancel: [],
  };
  #signal: AbortSignal | undefined;
  #isHeld = false;
  #watcher: Watcher | undefined;
  #listening: Disposable | undefined;
  #abortCause: unknown;
  #latestProgress: UploadProgress | undefined;
  readonly #progress = new ProgressStream<UploadProgress>(() => this.#begin());
  readonly #listener: RunListener = {
    onOpened: (isResumed) => {
      this.#resumed = isResumed;
    },
    onStep: (session, state) => {
      this.#session = session;
      if (state !== undefined) this.#enter(state);
    },
    onProgress: (progress) => {
      this.#latestProgress = progress;
      this.#progress.push(progress);
      tell(this, 'progress', progress);
    },
    onRetry: (decision) => {
      CHANNELS.retry.publish({ jobId: this.#id, ...decision });
      tell(this, 'retry', decision);
    },
    onWarning: (warning) => {
      CHANNELS.warning.publish({ jobId: this.#id, ...warning });
      tell(this, 'warning', warning);
    },
    onLockLost: () => {
      this.#abortCause = new BitsStateError('Another process may have taken this job over.');
      this.#dispatch({ type: 'abort' });
    },
  };

  /**
   * Checks the options; nothing is opened and nothing sent before `start()`.
   * @throws BITS_ERR_ARGUMENT for options that cannot work
   */
  constructor(options: UploadOptions) {
    super();
    this.#options = resolveOptions(options);
    this.#signal = this.#options.signal;
  }

  /** A UUID of version 7, so that ids sort by time; it never changes. */
  get id(): string {
    return this.#id;
  }

  /** What the job does now. */
  get state(): UploadState {
    return this.#state;
  }

  /** The limit of the job's speed, to change it while the job runs. */
  get bandwidth(): Bandwidth | undefined {
    return this.#options.bandwidth;
  }

  /** Whether the run resumes, or resumed, a session that was created before it. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /**
   * Whether the store had a record of the job at the end of its last run, so that another process can
   * resume it, with `restore` or with a job of the same file and URL.
   */
  get recorded(): boolean {
    return this.#checkpoint?.record !== undefined;
  }

  /**
   * A job from its record in a store; it is `suspended` until `start()`, `resume()` or `cancel()`.
   *
   * The record holds neither credentials nor the query of the URL, nor a stream for the reply: give
   * those again.
   * @param stored the record; or its id, for which all records of the store are read
   * @param options what differs from the record, which gives `url`, `source`, `name`, `reply` and
   *   `fragmentBytes`
   * @throws BITS_ERR_ARGUMENT for options that cannot work
   * @throws BITS_ERR_STORE when the record cannot be used
   * @throws BITS_ERR_STATE when the store has no such job
   */
  static async restore(
    store: JobStore,
    stored: string | JobRecord,
    options: Partial<UploadOptions> = {},
  ): Promise<UploadJob> {
    assertStore(store);
    assertOptions('UploadJob.restore', options);
    const record =
      typeof stored === 'string' ? await findRecord(store, stored) : parseRecord(stored);
    const job = createJob({ ...restoredOptions(record, options), store });
    // Not checked as a caller's is: a file may have any name.
    job.#options = { ...job.#options, name: options.name ?? record.contentName };
    const plan = planOf(job.#options, record.totalBytes, record.contentName);
    const sizer = { fixedBytes: job.#options.fragmentBytes };
    job.#checkpoint = checkpointOf(record, plan, sizer);
    job.#session = job.#checkpoint.session;
    job.#life = newLifecycle({ hasCheckpoint: true });
    job.#id = record.id;
    job.#state = 'suspended';
    return job;
  }

  /**
   * The outcome of the present run; reading it starts nothing.
   *
   * It rejects with a `BitsError`. Whoever reads it, or calls `start()`, handles that, as with every
   * promise; whoever does not listens to `failed`.
   */
  get result(): Promise<UploadResult> {
    return this.#outcome.promise;
  }

  /**
   * The newest progress, time and again, until the run ends; iterating starts the job, and throws the
   * error with which it fails.
   */
  get progress(): AsyncIterable<UploadProgress> {
    return this.#progress;
  }

  /** Starts the upload; calling it again changes nothing. A job in a queue waits for its turn. */
  start(): Promise<UploadResult> {
    this.#begin();
    return this.result;
  }

  /**
   * Stops sending and keeps the server's session; `result` stays pending until `resume()`.
   * @throws BITS_ERR_STATE when the job has ended
   */
  async suspend(): Promise<void> {
    this.#watcher?.onCall('suspend');
    if ((await this.#ask('suspend')).isRefused) {
      throw new BitsStateError(`The job cannot be suspended: it is ${this.#state}.`);
    }
  }

  /**
   * Continues after `suspend()`, an abort or a failure, where the server stands.
   * @param options `signal`: takes the place of the constructor's, which may have been aborted
   * @throws BITS_ERR_STATE when there is nothing to resume
   */
  async resume(options: { signal?: AbortSignal } = {}): Promise<UploadResult> {
    const given = signalOf('resume()', options);
    this.#watcher?.onCall('resume');
    // An aborted signal stays so for ever; only another one can stop what follows.
    const signal = given ?? (this.#signal?.aborted ? undefined : this.#signal);
    const wasStopping = this.#life.phase === 'stopping';
    const { isRefused, outcome } = await this.#ask('resume', signal);
    if (isRefused) {
      const hasEnded = ['completed', 'cancelled', 'failed'].includes(this.#state);
      const why =
        wasStopping && !hasEnded
          ? 'another call stops it'
          : `it is ${this.#state}, neither suspended nor in error`;
      throw new BitsStateError(`The job cannot be resumed: ${why}.`);
    }
    return outcome.promise;
  }

  /**
   * Gives the upload up and frees the server's session; `result` rejects with BITS_ERR_ABORTED.
   *
   * When Close-Session was already on its way the file may be in place: `result` then resolves. A
   * session that the server did not confirm to have dropped can be cancelled again.
   * @param options `signal`: ends the wait for the server
   * @throws what `result` rejects with when nothing could be cancelled, as when another process has
   *   the job
   */
  async cancel(options: { signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOf('cancel()', options);
    const cancelling = this.#ask('cancel');
    const listening = signal && onAbort(signal, () => this.#dispatch({ type: 'abort' }));
    const { isRefused, outcome } = await cancelling;
    listening?.[Symbol.dispose]();
    if (isRefused) await outcome.promise;
  }

  /**
   * Waits for the file to be put in place, as `Complete` of a Windows job does.
   * @throws BITS_ERR_STATE when closing the session now would lose bytes or the reply; nothing is
   *   sent then ([MC-BUP] §3.1.5.1.5)
   */
  async complete(): Promise<UploadResult> {
    if (this.#state !== 'completed') {
      if (this.#session === undefined) {
        throw new BitsStateError('There is nothing to complete: the upload has not begun.');
      }
      assertMayClose(this.#session);
    }
    return this.result;
  }

  /** Plain values for logs and for a structured clone, without secrets. */
  toJSON(): UploadJobJson {
    const { remoteUrl, source, name } = this.#options;
    const { phase } = this.#life;
    return {
      id: this.#id,
      url: `${remoteUrl.origin}${remoteUrl.pathname}`,
      source: name ?? source.name,
      state: this.#state,
      progress: this.#latestProgress,
      isActive: phase === 'running' || phase === 'stopping',
    };
  }

  #begin(): void {
    if (this.#isHeld || this.#life.phase !== 'idle') return;
    this.#dispatch({ type: 'start' });
    this.#listenTo(this.#signal);
  }

  /**
   * Asks for something, and tells when it is done whether it was refused.
   * @param signal may stop the job from then on that it resumes
   */
  #ask(call: Call, signal?: AbortSignal): Promise<CallAnswer> {
    const pending: PendingCall = { call, answer: new Deferred(), signal };
    const wasIdle = this.#life.phase === 'idle';
    this.#dispatch({ type: call }, pending);
    const isStopped = this.#life.phase === 'ended';
    if (wasIdle && call !== 'resume' && !isStopped) this.#listenTo(this.#signal);
    return pending.answer.promise;
  }

  #listenTo(signal: AbortSignal | undefined): void {
    this.#listening?.[Symbol.dispose]();
    this.#signal = signal;
    this.#listening =
      signal &&
      onAbort(signal, () => {
        this.#abortCause = signal.reason;
        this.#dispatch({ type: 'abort' });
      });
  }

  /** One event after the other: a listener may call the job while it is told something. */
  #dispatch(event: LifecycleEvent, pending?: PendingCall): void {
    this.#events.push({ event, pending });
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      if (next.pending !== undefined) this.#calls[next.pending.call].push(next.pending);
      const { phase } = this.#life;
      const [life, effects] = transition(this.#life, next.event);
      this.#life = life;
      for (const effect of effects) this.#perform(effect);
      if (life.phase !== phase) this.#watcher?.onPhase(life.phase);
    }
    this.#isDispatching = false;
  }

  #perform(effect: LifecycleEffect): void {
    switch (effect.type) {
      case 'run':
        void this.#run(effect);
        break;
      case 'interrupt':
        this.#interruption.abort(
          this.#life.stop === 'suspend'
            ? pauseReason('The job was suspended.')
            : new BitsAbortError('The job was stopped.'),
        );
        break;
      case 'rest':
        this.#enter('suspended');
        break;
      case 'settle':
        this.#settle(effect.as);
        break;
      case 'answer':
        for (const { answer, signal } of this.#calls[effect.call].splice(0)) {
          if (effect.call === 'resume' && !effect.refused) this.#listenTo(signal);
          answer.resolve({ isRefused: effect.refused, outcome: this.#outcome });
        }
    }
  }

  async #run({ purpose, hurried }: Extract<LifecycleEffect, { type: 'run' }>): Promise<void> {
    if (this.#outcome.isSettled) {
      this.#outcome = new ResultPromise();
      this.#progress.reopen();
    }
    this.#interruption = new AbortController();
    this.#abortCause = undefined;
    const { signal } = this.#interruption;
    const dismiss = hurried
      ? later(() => this.#dispatch({ type: 'abort' }), HURRIED_CANCEL_MS)
      : undefined;
    // A turn later: listeners added right after the call miss nothing, and one that resumes for ever
    // leaves timers and signals their turn.
    await nextTurn();
    const end = await performRun({
      id: this.#id,
      options: this.#options,
      purpose,
      checkpoint: this.#checkpoint,
      signal,
      listener: this.#listener,
    });
    dismiss?.();
    this.#runEnd = end;
    this.#checkpoint = end.checkpoint;
    const hasCheckpoint = end.checkpoint !== undefined;
    this.#dispatch({ type: 'runEnded', end: end.kind, hasCheckpoint });
  }

  #settle(as: Extract<LifecycleEffect, { type: 'settle' }>['as']): void {
    this.#listening?.[Symbol.dispose]();
    const end = this.#runEnd;
    this.#runEnd = undefined;
    const isResumable = as === 'aborted' || (as === 'failed' && this.#checkpoint !== undefined);
    if (!isResumable) void disposeSource(this.#options.source);
    if (as === 'completed' && end?.kind === 'completed') {
      this.#outcome.resolve(end.result);
      this.#progress.end();
      this.#enter('completed');
      tell(this, 'done', end.result);
      return;
    }
    const error = this.#errorOf(as, end);
    this.#outcome.reject(error, { isHandled: this.listenerCount('failed') > 0 });
    this.#progress.end({ error });
    const failed = this.#checkpoint === undefined ? 'failed' : 'error';
    this.#enter(as === 'failed' ? failed : as === 'aborted' ? 'suspended' : 'cancelled');
    tell(this, 'failed', error);
  }

  #errorOf(as: string, end: RunEnd | undefined): BitsError {
    if (as === 'failed' && end?.kind === 'failed') return asBitsError(end.error);
    if (as === 'aborted') {
      const cause = this.#abortCause;
      return new BitsAbortError(
        'The upload was aborted; resume() continues where the server stands.',
        {
          cause,
        },
      );
    }
    const hasSession = end?.checkpoint?.session.sessionId !== undefined;
    const isUnsure = end?.kind === 'cancelled' ? !end.freed : hasSession;
    if (!isUnsure) return new BitsAbortError('The upload was cancelled.');
    return new BitsAbortError(
      'The upload was cancelled, but the server did not confirm that it dropped the session.',
      { cause: end?.kind === 'cancelled' ? end.error : undefined },
    );
  }

  #enter(state: UploadState): void {
    if (state === this.#state) return;
    this.#state = state;
    if (CHANNELS.state.hasSubscribers) CHANNELS.state.publish({ jobId: this.#id, state });
    tell(this, 'state', state);
  }
}

/** A caller who waits until what was asked for is done. */
interface PendingCall {
  readonly call: Call;
  readonly answer: Deferred<CallAnswer>;
  /** Of a resume: may stop the job from then on. */
  readonly signal: AbortSignal | undefined;
}

interface CallAnswer {
  readonly isRefused: boolean;
  /** Of the run that has just ended or begun: a listener may have resumed the job by the time this is read. */
  readonly outcome: ResultPromise;
}

function signalOf(call: string, options: { signal?: AbortSignal }): AbortSignal | undefined {
  return abortSignal(callOptions(call, options, { signal: true }).signal);
}

function asBitsError(error: unknown): BitsError {
  if (isBitsError(error)) return error;
  return new BitsError(
    'BITS_ERR_STATE',
    'The job failed because of a fault in bits-upload; see the cause.',
    {
      cause: error,
    },
  );
}

async function findRecord(store: JobStore, id: string): Promise<JobRecord> {
  const { records } = await fromStore('list the records', () => store.list());
  const record = records.find((each) => each.id === id);
  if (record !== undefined) return record;
  throw new BitsStateError(`There is no record of job ${id}.`);
}

/** Outside of the class: one that names itself is renamed by the build, and logs would show `_UploadJob`. */
function createJob(options: UploadOptions): UploadJob {
  return new UploadJob(options);
}
