import { setTimeout as wait } from 'node:timers/promises';
import pRetry from 'p-retry';
import { abortError, throwIfAborted } from '../common/abort.js';
import { AwakeTime } from '../common/awake-time.js';
import { type Clock, idleClock } from '../common/clock.js';
import { type BitsError, isBitsError } from '../errors.js';
import { step } from '../session/machine.js';
import type { Command, Session, SessionEvent } from '../session/session.js';
import type { RetryDecision, RetryOptions } from './options.js';
import { callHook } from './packet-hooks.js';
import { backOffMs, noProgress, notSent, onNetworkReturn, TryAgain } from './retry.js';

/** A command that leads to an event. */
export type WorkCommand = Extract<Command, { type: 'send' | 'download' }>;
/** A command after which there is nothing to do until the caller calls again. */
export type RestCommand = Extract<Command, { type: 'finish' | 'pause' }>;

/** Carries out what the driver's session commands. */
export interface CommandRunner {
  /** A rejection ends the job, unless the driver's signal has aborted. */
  perform(command: WorkCommand, session: Session): Promise<SessionEvent>;
  stepped(session: Session, command: Command, before: Session): void;
  retrying(decision: RetryDecision): void;
}

export interface DriverClock extends Clock {
  /** Rejects as soon as the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

const SYSTEM: DriverClock = {
  ...idleClock,
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
};

export interface DriverOptions {
  readonly retry: RetryOptions;
  readonly noProgressMs: number;
  /** How long the reply may take. */
  readonly replyMs: number;
  /** Suspends the session, or gives up a Cancel-Session under way. */
  readonly signal: AbortSignal;
  /** For tests. */
  readonly clock?: DriverClock | undefined;
  readonly random?: (() => number) | undefined;
}

/**
 * Feeds events to the session and executes its commands.
 *
 * The session decides what to send next; the driver decides when. It retries with p-retry: one use of
 * it lasts from a failure to the next progress, and the back-off doubles from one attempt to the next.
 */
export class Driver {
  readonly #runner: CommandRunner;
  readonly #options: DriverOptions;
  readonly #clock: DriverClock;
  readonly #random: () => number;
  #session: Session;
  #command: Command = { type: 'pause' };
  /** Runs while nothing succeeds. */
  #failing: AwakeTime | undefined;
  /** The machine was asleep since the first failure. */
  #hasSlept = false;
  /** There was progress inside the attempt. */
  #hasProgressed = false;
  /** As `#failing`, for the server that BITS-Host-Id named. */
  #hostFailing: AwakeTime | undefined;

  constructor(session: Session, runner: CommandRunner, options: DriverOptions) {
    this.#session = session;
    this.#runner = runner;
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM;
    this.#random = options.random ?? Math.random;
  }

  get session(): Session {
    return this.#session;
  }

  /** There is progress inside the command that is being carried out, though it may yet fail. */
  progressed(): void {
    this.#hasProgressed = true;
    this.#failing = stopped(this.#failing);
  }

  /** Runs until the session finishes or pauses. */
  async drive(event: SessionEvent): Promise<RestCommand> {
    try {
      this.#step(event);
      for (;;) {
        const rest = this.#rest();
        if (rest !== undefined) return rest;
        try {
          this.#hasSlept = false;
          let failure = await this.#advance({ isRetry: false });
          // Most attempts succeed, so p-retry is asked only after a failure.
          while (failure !== undefined) failure = await this.#retryAfter(failure);
        } catch (error) {
          // A stop that came together with the last answer came too late.
          if (this.#rest() === undefined) this.#step(this.#eventOf(error));
        }
      }
    } finally {
      this.#failing = stopped(this.#failing);
      this.#hostFailing = stopped(this.#hostFailing);
    }
  }

  #rest(): RestCommand | undefined {
    const command = this.#command;
    return command.type === 'finish' || command.type === 'pause' ? command : undefined;
  }

  /**
   * @returns a failure that came after progress: the first one of another count
   * @throws the error that ends the job, or that of the abort
   */
  async #retryAfter(first: TryAgain): Promise<TryAgain | undefined> {
    let progressed: TryAgain | undefined;
    const attempt = async (attemptNumber: number): Promise<void> => {
      // It is handed the failure that has been.
      if (attemptNumber === 1) throw first;
      // After a sleep of the machine all retries are due again: `drive` begins another count.
      if (this.#hasSlept) return;
      this.#hasProgressed = false;
      const failure = await this.#advance({ isRetry: true });
      if (failure !== undefined && !this.#hasProgressed) throw failure;
      progressed = failure;
    };
    let isVetoed = false;
    try {
      await pRetry(attempt, {
        retries: this.#options.retry.limit,
        // The wait is ours, below: p-retry has neither full jitter nor Retry-After.
        minTimeout: 0,
        signal: this.#options.signal,
        shouldRetry: ({ error }) => error instanceof TryAgain && !isVetoed,
        onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
          if (!(error instanceof TryAgain) || retriesLeft === 0) return;
          isVetoed = !(await this.#backOff(error, attemptNumber));
        },
      });
    } catch (error) {
      throw error instanceof TryAgain ? error.refusal.error : error;
    }
    return progressed;
  }

  /** @returns false when the caller wants no further attempt */
  async #backOff({ refusal, waitsFor }: TryAgain, attempt: number): Promise<boolean> {
    const { retry, replyMs, signal } = this.#options;
    // An application that still works on its reply makes progress that nobody sees.
    const noProgressMs =
      waitsFor === 'reply'
        ? Math.max(replyMs, this.#options.noProgressMs)
        : this.#options.noProgressMs;
    throwIfAborted(signal);
    const failingMs = this.#failing?.elapsedMs ?? 0;
    const leftMs = noProgressMs - failingMs;
    if (leftMs <= 0) throw noProgress(noProgressMs, refusal.error);
    const waitMs = backOffMs(attempt, retry, refusal, this.#random);
    const fallbackLeftMs = Math.max(0, this.#fallbackLeftMs() ?? waitMs);
    const delayMs = Math.round(Math.min(waitMs, leftMs, fallbackLeftMs));
    const decision: RetryDecision = { attempt, delayMs, error: refusal.error };
    const ask = () => retry.shouldRetry(decision);
    if (!(await callHook('retry.shouldRetry', ask, signal))) return false;
    this.#runner.retrying(decision);
    await this.#sleep(delayMs);
    return true;
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#options;
    const wake = new AbortController();
    const stopLooking = onNetworkReturn(() => wake.abort(), this.#clock.schedule);
    try {
      await this.#clock.sleep(ms, AbortSignal.any([signal, wake.signal]));
    } catch {
      throwIfAborted(signal);
    } finally {
      stopLooking();
    }
  }

  /**
   * Does what the session commands, as far as it goes without a failure.
   * @param options `isRetry`: ends at the first progress, from which on failures are counted anew
   * @returns the failure after which the session waits
   */
  async #advance({ isRetry }: { readonly isRetry: boolean }): Promise<TryAgain | undefined> {
    const { signal } = this.#options;
    if (this.#session.awaiting === 'retry') {
      const leftMs = this.#fallbackLeftMs();
      this.#step({ type: leftMs !== undefined && leftMs <= 0 ? 'fallbackExpired' : 'retryDue' });
    }
    const { progress } = this.#session;
    while (this.#command.type === 'send' || this.#command.type === 'download') {
      const event = signal.aborted
        ? notSent(signal)
        : await this.#runner.perform(this.#command, this.#session);
      this.#step(event);
      if (isRetry && this.#session.progress > progress) return undefined;
    }
    return this.#command.type === 'wait' ? new TryAgain(this.#command) : undefined;
  }

  #step(event: SessionEvent): void {
    const before = this.#session;
    [this.#session, this.#command] = step(before, event);
    // Of an upload that started over, what is acknowledged again counts as well.
    const isSame = this.#session.sessionId === before.sessionId;
    const isAhead = this.#session.sessionBestOffset > before.sessionBestOffset;
    if (isSame && isAhead) this.#failing = stopped(this.#failing);
    else if (event.type === 'failed') this.#failing = this.#timed(this.#failing);
    this.#timeHostId(before);
    this.#runner.stepped(this.#session, this.#command, before);
  }

  #eventOf(error: unknown): SessionEvent {
    const { signal } = this.#options;
    if (signal.aborted) {
      const { state, afterCancel } = this.#session;
      const isLeaving = state === 'cancel-session' && afterCancel.kind === 'cancelled';
      if (!isLeaving) return { type: 'suspendRequested' };
      return { type: 'gaveUp', error: abortError(signal) as BitsError };
    }
    if (isBitsError(error)) return { type: 'gaveUp', error };
    throw error;
  }

  /** [MC-BUP] §1.3.4.2: the timer starts with an error of the host-id's server, progress resets it. */
  #timeHostId(before: Session): void {
    const session = this.#session;
    const command = this.#command;
    if (session.progress > before.progress || session.hostId !== before.hostId) {
      this.#hostFailing = stopped(this.#hostFailing);
      return;
    }
    if (command.type !== 'wait' || session.hostId === undefined) return;
    // A reply that is not there yet is the application's, and may be fetched from another host.
    const isForReply = session.state === 'get-reply' || command.waitsFor === 'reply';
    if (!isForReply) this.#hostFailing = this.#timed(this.#hostFailing);
  }

  #fallbackLeftMs(): number | undefined {
    const { hostIdFallbackTimeoutMs } = this.#session;
    if (hostIdFallbackTimeoutMs === undefined || this.#hostFailing === undefined) return undefined;
    return hostIdFallbackTimeoutMs - this.#hostFailing.elapsedMs;
  }

  /**
   * Time begins with the first failure, and again with the first one after a sleep of the machine: a
   * network needs a moment to come back.
   */
  #timed(time: AwakeTime | undefined): AwakeTime {
    if (time?.gaps === 0) return time;
    this.#hasSlept ||= time !== undefined;
    stopped(time);
    return new AwakeTime(this.#clock);
  }
}

function stopped(time: AwakeTime | undefined): undefined {
  time?.stop();
  return undefined;
}
