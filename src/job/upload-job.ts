import { EventEmitter } from 'node:events';
import { AbortSwitch } from '../common/abort-switch.js';
import { BitsAbortError, BitsArgumentError, BitsStateError } from '../errors.js';
import { redactUrl } from '../protocol/remote-url.js';
import type { StoredReply } from '../reply/sink.js';
import { assertMayClose, isFinal, type Outcome } from '../session/session.js';
import type { JobStore } from '../store/store.js';
import { onAbort } from './abort-listeners.js';
import { CHANNELS } from './diagnostics.js';
import { disposeSource } from './guarded-source.js';
import type { RunHooks, UploadState, UploadWarning } from './hooks.js';
import { leftoverOf, replyOptionOf } from './job-records.js';
import { Latest } from './latest.js';
import type { Leftover } from './leftover.js';
import { newJobId } from './new-job-id.js';
import { type ResolvedOptions, resolveOptions, type UploadOptions } from './options.js';
import { planOf } from './plan.js';
import type { UploadProgress } from './progress.js';
import type { RetryDecision } from './retry.js';
import { Run } from './run.js';
import { nextTurn } from './schedule.js';
import { Settleable } from './settleable.js';
import { unreadableSource } from './unreadable-source.js';

export interface UploadResult {
  readonly id: string;
  /** Where the file is now; values of a query are left out. */
  readonly url: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Body bytes that this run put on the wire; more than `bytes` when some were sent again. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Whether the run went on with a session that was begun before it. */
  readonly resumed: boolean;
  /** `presumed`: the answer to Close was lost, and the server then no longer knew the session. */
  readonly closed: 'acknowledged' | 'presumed';
  /** What the server's application answered, in an upload-reply job. */
  readonly reply: StoredReply | undefined;
}

export interface UploadJobEvents {
  state: [state: UploadState];
  progress: [progress: UploadProgress];
  retry: [retry: RetryDecision];
  warning: [warning: UploadWarning];
}

type Ending = Outcome | { readonly kind: 'aborted' };
type Wish = 'suspend' | 'resume' | 'cancel' | 'abort';

/**
 * One file on its way to a BITS server, from Create-Session to Close-Session.
 *
 * `result` settles when the file is in place, or rejects with a `BitsError`. After a failure or an
 * abort that left the server's session open, `resume()` goes on where the server stands.
 */
export class UploadJob extends EventEmitter<UploadJobEvents> {
  #id = newJobId();
  #options: ResolvedOptions;
  readonly #progress: Latest<UploadProgress>;
  #signal: AbortSignal | undefined;
  #state: UploadState = 'init';
  #outcome = new Settleable<UploadResult>();
  #started = false;
  /** True from a start to the moment the outcome settles, while suspended too. */
  #alive = false;
  /** What the caller asked for last and the job has not yet come to. */
  #wish: Wish | undefined;
  #abortCause: BitsStateError | undefined;
  /** Aborted while a cancel was still to come. */
  #hurries = false;
  #wished = new Settleable<void>();
  #rested = new Settleable<void>();
  #opening = new AbortSwitch();
  #run: Run | undefined;
  #resumed = false;
  /** The outcome is known, and what the run held is being freed: what is asked for now waits for that. */
  #isEnding = false;
  /** Stops listening to the signal. */
  #forget: () => void = () => {};
  #leftover: Leftover | undefined;

  /**
   * @throws BITS_ERR_ARGUMENT for options that cannot work. A source that cannot be read rejects
   *   `result`, before anything is sent.
   */
  constructor(options: UploadOptions) {
    super();
    this.#options = resolveOptions(options);
    this.#signal = this.#options.signal;
    this.#progress = new Latest(() => void this.result);
  }

  /**
   * A UUID of version 7, so that ids sort by time.
   *
   * It becomes that of an earlier job when this one goes on with that job's record.
   */
  get id(): string {
    return this.#id;
  }

  get state(): UploadState {
    return this.#state;
  }

  /** Whether the run goes on, or went on, with a session that was begun before it. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /**
   * Whether the store has a record of the job, so that another process can go on with it: with
   * `restore`, or with a job of the same file and URL.
   */
  get recorded(): boolean {
    return (this.#run?.record ?? this.#leftover?.record) !== undefined;
  }

  /**
   * A job from its record in a store; it is `suspended` until `resume()`, `start()` or `cancel()`.
   *
   * The record holds neither credentials nor the query of the URL, nor a stream for the reply:
   * give those again.
   * @param options what differs from the record, which gives `url`, `source`, `name`, `reply` and
   *   `fragmentBytes`
   * @throws BITS_ERR_STORE when the record cannot be used
   * @throws BITS_ERR_STATE when the store has no such job
   */
  static async restore(
    store: JobStore,
    id: string,
    options: Partial<UploadOptions> = {},
  ): Promise<UploadJob> {
    const record = await store.load(id);
    if (record === undefined) throw new BitsStateError(`there is no record of job ${id}`);
    if (record.queryHash !== undefined && options.url === undefined) {
      throw new BitsArgumentError(
        `job ${id} was begun with a query in its URL, which is not kept: give the url again`,
      );
    }
    const given = options.reply === true ? {} : options.reply;
    const reply = given ? { optional: record.reply?.optional, ...given } : replyOptionOf(record);
    if (record.reply !== undefined && reply === undefined) {
      throw new BitsArgumentError(`the reply of job ${id} went to a stream: give reply again`);
    }
    const job = createJob({
      ...options,
      store,
      url: options.url ?? record.url,
      source: options.source ?? record.source.path,
      reply,
      fragmentBytes: options.fragmentBytes ?? record.fragmentBytes,
    });
    // Not checked as a caller's is: a file may have any name.
    job.#options = { ...job.#options, name: options.name ?? record.contentName };
    const plan = planOf(job.#options, record.totalBytes, record.contentName);
    job.#leftover = leftoverOf(record, plan, { fixedBytes: job.#options.fragmentBytes });
    job.#id = record.id;
    job.#state = 'suspended';
    return job;
  }

  /** The outcome of the present run; reading it starts a job that was not started yet. */
  get result(): Promise<UploadResult> {
    if (!this.#started) this.#launch();
    return this.#outcome.promise;
  }

  /** The newest progress, time and again, until the run ends; iterating starts the job. */
  get progress(): AsyncIterable<UploadProgress> {
    return this.#progress;
  }

  /** Starts the upload; calling it again changes nothing. */
  start(): Promise<UploadResult> {
    return this.result;
  }

  /**
   * Stops the wire and keeps the server's session; `result` stays pending until `resume()`.
   * @throws BITS_ERR_STATE when the job has ended
   */
  async suspend(): Promise<void> {
    if (!this.#started) this.#launch();
    if (this.#isEnding) await this.#rested.promise;
    if (!this.#alive) {
      throw new BitsStateError(`the job cannot be suspended: it is ${this.#state}`);
    }
    await this.#ask('suspend');
  }

  /**
   * Goes on after `suspend()`, an abort or a failure, where the server stands.
   * @param options `signal`: takes the place of the constructor's, which may have been aborted
   * @throws BITS_ERR_STATE when there is nothing to go on with
   */
  async resume(options: { signal?: AbortSignal } = {}): Promise<UploadResult> {
    // An aborted signal stays so for ever; only another one can stop what is asked for now.
    const signal = options.signal ?? (this.#signal?.aborted ? undefined : this.#signal);
    if (this.#isEnding) await this.#rested.promise;
    if (this.#wish !== undefined && this.#wish !== 'resume') {
      const wish = this.#wish;
      await this.#rested.promise;
      // Another call may have been faster.
      const goesOn = this.#alive && this.#state !== 'suspended' && this.#state !== 'error';
      if (wish === 'suspend' && goesOn && this.#state !== 'cancel-session')
        return this.#outcome.promise;
    }
    if (this.#state !== 'suspended' && this.#state !== 'error') {
      throw new BitsStateError(
        `the job cannot be resumed: it is ${this.#state}, neither suspended nor in error`,
      );
    }
    this.#forget();
    this.#signal = signal;
    if (this.#alive) {
      this.#listen();
      void this.#ask(this.#signal?.aborted ? 'abort' : 'resume');
    } else {
      this.#launch();
    }
    return this.#outcome.promise;
  }

  /**
   * Gives the upload up and frees the server's session; `result` rejects with BITS_ERR_ABORTED.
   *
   * When Close-Session was already on its way the file may be in place: `result` then resolves.
   * An abort meanwhile ends the wait for the server and keeps the record, to cancel once more; one in
   * the same breath leaves the server two seconds.
   */
  async cancel(): Promise<void> {
    if (this.#isEnding) await this.#rested.promise;
    if (isFinal(this.#state)) return;
    if (this.#alive) {
      await this.#ask('cancel');
      await this.#outcome.promise.catch(() => {});
    }
    // It came when the run was ending in another way.
    if (!isFinal(this.#state) && !this.#alive) await this.#cancelRest();
  }

  async #cancelRest(): Promise<void> {
    this.#launch();
    await this.#ask('cancel');
    await this.#outcome.promise.catch(() => {});
  }

  /**
   * Waits for the file to be put in place, as `Complete` of a Windows job does.
   * @throws BITS_ERR_STATE when closing the session now would lose bytes or the reply; nothing is
   *   sent then
   */
  async complete(): Promise<UploadResult> {
    if (this.#state !== 'completed') {
      const session = this.#run?.session ?? this.#leftover?.session;
      if (session === undefined) {
        throw new BitsStateError('nothing to complete: the upload has not begun');
      }
      assertMayClose(session);
    }
    return this.#outcome.promise;
  }

  /** Begins a run, whose outcome `result` then is. */
  #launch(): void {
    if (this.#started) {
      this.#outcome = new Settleable();
      this.#progress.reopen();
      this.#opening = new AbortSwitch();
      this.#rested = new Settleable();
      this.#wished = new Settleable();
    }
    this.#started = true;
    this.#alive = true;
    this.#wish = undefined;
    this.#hurries = false;
    this.#listen();
    // A tick later, so that listeners added right after the call miss nothing.
    void Promise.resolve().then(() => this.#live());
  }

  #listen(): void {
    if (this.#signal !== undefined) this.#forget = onAbort(this.#signal, () => this.#ask('abort'));
  }

  /** Tells the run what the caller wants; resolves when it rests, or has ended. */
  #ask(wish: Wish): Promise<void> {
    // To stop for good is more than to pause.
    const stops = this.#wish === 'abort' || this.#wish === 'cancel';
    if (wish === 'suspend' && stops) return this.#rested.promise;
    if (wish === 'abort' && this.#wish === 'cancel') this.#hurries = true;
    else this.#wish = wish;
    if (wish === 'resume') {
      this.#rested.resolve();
      this.#rested = new Settleable();
    } else if (this.#run) {
      this.#run.interrupt(wish === 'cancel' ? 'cancelRequested' : 'suspendRequested');
    } else if (wish !== 'suspend') this.#opening.abort(new BitsAbortError('interrupted'));
    this.#wished.resolve();
    return this.#rested.promise;
  }

  /** A run, from its start to the moment when its outcome settles. */
  async #live(): Promise<void> {
    let settle: (outcome: Settleable<UploadResult>) => void;
    try {
      const ending = await this.#upload();
      const run = this.#run;
      await this.#release();
      if (ending.kind !== 'aborted' && !this.#isResumable(ending)) {
        await disposeSource(this.#options.source);
      }
      settle = (outcome) => this.#conclude(ending, run, outcome);
    } catch (error) {
      await this.#release();
      if (this.#leftover === undefined) await disposeSource(this.#options.source);
      settle = (outcome) => {
        this.#enter(this.#leftover === undefined ? 'failed' : 'error');
        outcome.reject(error);
      };
    }
    this.#alive = false;
    this.#isEnding = false;
    this.#wish = undefined;
    this.#forget();
    this.#progress.end();
    this.#rested.resolve();
    // Last, for a listener may resume the job at once, and all these are another run's then.
    settle(this.#outcome);
  }

  async #upload(): Promise<Ending> {
    // To cancel is more than to abort, and may be what is left to do after it.
    if (this.#signal?.aborted && this.#wish !== 'cancel') this.#wish = 'abort';
    const run = await this.#open();
    if (run === undefined) {
      return this.#wish === 'cancel' ? { kind: 'cancelled', freed: true } : { kind: 'aborted' };
    }
    this.#run = run;
    this.#id = run.id;
    this.#resumed = run.resumed;
    if (this.#hurries) run.interrupt('suspendRequested');
    // A run that goes on from a record is at rest as well.
    this.#wish ??= 'resume';
    for (;;) {
      if (this.#wish === 'abort') return { kind: 'aborted' };
      const event = this.#nextEvent(run);
      // Nothing less than the end is wished for after a cancel.
      if (this.#wish !== 'cancel') this.#wish = undefined;
      if (event !== undefined) {
        const rest = await run.drive({ type: event });
        if (rest.type === 'finish' && !(await this.#goesOn(rest.outcome))) return rest.outcome;
      } else {
        // Of a run that goes on from a record, or after a failure, nobody has been told yet.
        this.#enter('suspended');
        this.#rested.resolve();
        await this.#wished.promise;
        this.#wished = new Settleable();
      }
    }
  }

  /**
   * Whether a listener that was told of a failure has resumed the job at once.
   *
   * If not, the run is ending from this very turn on: what is asked for in the next concerns another.
   */
  async #goesOn(outcome: Outcome): Promise<boolean> {
    if (outcome.kind === 'failed' && outcome.resumable && this.#wish === 'resume') {
      // What fails without a request would otherwise keep timers and signals from their turn.
      await nextTurn();
      return true;
    }
    this.#isEnding = true;
    return false;
  }

  /** What to tell a session at rest; nothing while it shall go on resting. */
  #nextEvent(
    run: Run,
  ): 'start' | 'suspendRequested' | 'resumeRequested' | 'cancelRequested' | undefined {
    if (this.#wish === 'cancel') return 'cancelRequested';
    if (run.session.state === 'init')
      return this.#wish === 'suspend' ? 'suspendRequested' : 'start';
    return this.#wish === 'resume' ? 'resumeRequested' : undefined;
  }

  /** Undefined when the caller stopped the job before anything was sent that is to be undone. */
  async #open(): Promise<Run | undefined> {
    const opening = this.#opening;
    const hooks: RunHooks = {
      onState: (state) => this.#enter(state),
      onProgress: (progress) => {
        this.#progress.push(progress);
        this.emit('progress', progress);
      },
      onRetry: (decision) => {
        CHANNELS.retry.publish({ jobId: this.#id, ...decision });
        this.emit('retry', decision);
      },
      onWarning: (warning) => {
        CHANNELS.warning.publish({ jobId: this.#id, ...warning });
        this.emit('warning', warning);
      },
      onSessionGivenUp: () => {
        this.#leftover = undefined;
      },
      onCancelCutShort: () => {
        const left = this.#leftover;
        // The next one may find no session, which then says nothing about a Close before.
        this.#leftover = left && { ...left, session: { ...left.session, cancelUncertain: true } };
      },
      onLockLost: () => {
        this.#abortCause = new BitsStateError('another process may have taken this job over');
        void this.#ask('abort');
      },
    };
    const parts = { id: this.#id, options: this.#options, hooks, leftover: this.#leftover };
    if (!opening.aborted && this.#wish !== 'abort') {
      try {
        return await Run.open(parts, this.#options.source, opening);
      } catch (error) {
        if (!opening.aborted) throw error;
      }
    }
    if (this.#wish !== 'cancel' || this.#leftover === undefined) return undefined;
    // The source may be gone; the server's session can be freed all the same.
    const leaving = { ...parts, leftover: this.#leftover, leaving: true } as const;
    return Run.open(leaving, unreadableSource(this.#leftover.session.plan.totalBytes));
  }

  #isResumable(ending: Ending): boolean {
    return ending.kind === 'failed' && this.#leftover !== undefined;
  }

  async #release(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    const leftover = run.over ? undefined : run.leftover;
    await run.close();
    // What it leaves in the store is known only now.
    this.#leftover = leftover && { ...leftover, record: run.record };
  }

  #conclude(ending: Ending, run: Run | undefined, outcome: Settleable<UploadResult>): void {
    switch (ending.kind) {
      case 'completed':
        if (run === undefined) throw new Error('upload job: completed without a run');
        outcome.resolve({
          id: this.id,
          url: redactUrl(run.remoteUrl),
          bytes: run.bytes,
          bytesSent: run.bytesSent,
          durationMs: run.durationMs,
          resumed: run.resumed,
          closed: ending.closed,
          reply: run.storedReply,
        });
        return;
      case 'failed':
        outcome.reject(ending.error);
        return;
      case 'cancelled':
        this.#enter('cancelled');
        outcome.reject(
          new BitsAbortError(
            ending.freed
              ? 'the upload was cancelled'
              : 'the upload was cancelled, but the server did not confirm that it dropped the session',
          ),
        );
        return;
      case 'aborted': {
        const cause = this.#abortCause ?? this.#signal?.reason;
        this.#enter('suspended');
        outcome.reject(
          new BitsAbortError('the upload was aborted; resume() goes on where the server stands', {
            cause,
          }),
        );
      }
    }
  }

  #enter(state: UploadState): void {
    if (state === this.#state) return;
    this.#state = state;
    if (CHANNELS.state.hasSubscribers) CHANNELS.state.publish({ jobId: this.#id, state });
    this.emit('state', state);
  }
}

/** Outside of the class: one that names itself is renamed by the build, and logs would show `_UploadJob`. */
function createJob(options: UploadOptions): UploadJob {
  return new UploadJob(options);
}
