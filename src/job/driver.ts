import { AbortSwitch } from '../common/abort-switch.js';
import { BitsAbortError, isBitsError } from '../errors.js';
import { step } from '../session/machine.js';
import type { Command, Session, SessionEvent } from '../session/session.js';
import type { Clock } from './clock.js';
import { type RetryDecision, type RetryPolicy, retryUntilProgress, TryAgain } from './retry.js';

/** A command that something comes of. */
export type Doing = Extract<Command, { type: 'send' | 'download' }>;
/** A command after which the driver has nothing to do until the caller says more. */
export type Rest = Extract<Command, { type: 'finish' | 'pause' }>;

export interface DriverParts {
  /** Carries a command out; rejects only when the switch is used. */
  readonly perform: (
    command: Doing,
    session: Session,
    abortSwitch: AbortSwitch,
  ) => Promise<SessionEvent>;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onStep: (session: Session, command: Command, before: Session) => void;
  readonly onRetry: (decision: RetryDecision) => void;
  /** To be cut by `interrupt` alone once the driver has it. */
  readonly interruption: AbortSwitch;
}

/** How long a job that was cancelled and aborted in one breath waits for its session to be freed. */
const LEAVE_MS = 2000;

/** Feeds the session with what happens, and happens what the session commands. */
export class Driver {
  readonly #parts: DriverParts;
  #session: Session;
  #command: Command = { type: 'pause' };
  #interruption: AbortSwitch;
  #wish: 'suspendRequested' | 'cancelRequested' | 'gaveUp' | undefined;
  /** Since when nothing succeeds; undefined: all is well. */
  #failingSinceMs: number | undefined;
  #hostFailingSinceMs: number | undefined;
  /** Aborted in the same breath in which it was cancelled. */
  #hurries = false;

  constructor(session: Session, parts: DriverParts) {
    this.#session = session;
    this.#parts = parts;
    this.#interruption = parts.interruption;
  }

  get session(): Session {
    return this.#session;
  }

  /** Cuts what is going on at once; `drive` then goes on with the wish. */
  interrupt(wish: 'suspendRequested' | 'cancelRequested'): void {
    const { state, afterCancel } = this.#session;
    const leaving = state === 'cancel-session' && afterCancel.kind !== 'create-session';
    if (leaving && wish === 'cancelRequested') return;
    if (this.#wish === 'cancelRequested') {
      this.#hurries ||= wish === 'suspendRequested';
      return;
    }
    this.#wish = leaving ? 'gaveUp' : wish;
    this.#interruption.abort(new BitsAbortError('interrupted'));
  }

  /** Something came of the command that is being carried out, though it may yet fail. */
  progressed(): void {
    this.#failingSinceMs = undefined;
  }

  /** Runs until the session finishes or pauses. */
  async drive(event: SessionEvent): Promise<Rest> {
    this.#failingSinceMs = undefined;
    this.#hurries = event.type === 'cancelRequested' && this.#wish === 'suspendRequested';
    this.#wish = undefined;
    if (this.#interruption.aborted) this.#interruption = new AbortSwitch();
    this.#step(event);
    for (;;) {
      const rest = this.#rest();
      if (rest !== undefined) return rest;
      try {
        await retryUntilProgress((isRetry) => this.#goOn(isRetry), this.#parts.policy, {
          interruption: this.#interruption,
          random: this.#parts.random,
          sleep: this.#parts.clock.sleep,
          failingForMs: () => this.#failingForMs(),
          longestWaitMs: () => this.#fallbackLeftMs() ?? Number.POSITIVE_INFINITY,
          onRetry: this.#parts.onRetry,
        });
      } catch (error) {
        // A wish that came together with the last answer came too late.
        if (this.#rest() === undefined) this.#step(this.#eventOf(error));
      }
    }
  }

  /** What was given up and aborted at once may take a Cancel-Session, but no time-outs and retries. */
  #limitLeaving(interrupted: AbortSwitch): AbortController {
    this.#hurries = false;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, interrupted.signal]);
    this.#parts.clock.sleep(LEAVE_MS, signal).then(
      () => this.interrupt('suspendRequested'),
      () => {},
    );
    return over;
  }

  #failingForMs(): number {
    return this.#parts.clock.now() - (this.#failingSinceMs ?? this.#parts.clock.now());
  }

  #rest(): Rest | undefined {
    const { type } = this.#command;
    return type === 'finish' || type === 'pause' ? (this.#command as Rest) : undefined;
  }

  /**
   * Goes on where the session stands, as far as it goes without a failure.
   * @param isRetry ends it at the first progress, from which on failures are counted anew
   */
  async #goOn(isRetry: boolean): Promise<void> {
    if (this.#session.awaiting === 'retry') {
      const fallbackLeftMs = this.#fallbackLeftMs();
      const fallBack = fallbackLeftMs !== undefined && fallbackLeftMs <= 0;
      this.#step({ type: fallBack ? 'fallbackExpired' : 'retryDue' });
    }
    const { progress } = this.#session;
    while (this.#command.type === 'send' || this.#command.type === 'download') {
      const interruption = this.#interruption;
      interruption.throwIfAborted();
      const leaving = this.#hurries ? this.#limitLeaving(interruption) : undefined;
      this.#step(await this.#parts.perform(this.#command, this.#session, interruption));
      leaving?.abort();
      if (isRetry && this.#session.progress > progress) return;
    }
    if (this.#command.type === 'wait') throw new TryAgain(this.#command.refusal);
  }

  #step(event: SessionEvent): void {
    const before = this.#session;
    [this.#session, this.#command] = step(before, event);
    if (this.#session.bestOffset > before.bestOffset) this.#failingSinceMs = undefined;
    else if (event.type === 'failed') this.#failingSinceMs ??= this.#parts.clock.now();
    this.#timeHostId(before);
    this.#parts.onStep(this.#session, this.#command, before);
  }

  #eventOf(error: unknown): SessionEvent {
    const wish = this.#wish;
    if (wish !== undefined && this.#interruption.aborted) {
      this.#wish = undefined;
      this.#interruption = new AbortSwitch();
      if (wish !== 'gaveUp') return { type: wish };
    }
    if (isBitsError(error)) return { type: 'gaveUp', error };
    // A wait that was cut short rejects with an error of Node's.
    if (wish === 'gaveUp') return { type: 'gaveUp', error: new BitsAbortError('interrupted') };
    throw error;
  }

  /** [MC-BUP] §1.3.4.2: the timer starts with an error of the host-id's server, progress resets it. */
  #timeHostId(before: Session): void {
    const session = this.#session;
    if (session.progress > before.progress || session.hostId !== before.hostId) {
      this.#hostFailingSinceMs = undefined;
    } else if (this.#command.type === 'wait' && session.hostId !== undefined) {
      this.#hostFailingSinceMs ??= this.#parts.clock.now();
    }
  }

  #fallbackLeftMs(): number | undefined {
    const { hostIdFallbackTimeoutMs } = this.#session;
    if (hostIdFallbackTimeoutMs === undefined || this.#hostFailingSinceMs === undefined) {
      return undefined;
    }
    return this.#hostFailingSinceMs + hostIdFallbackTimeoutMs - this.#parts.clock.now();
  }
}
