import { busyClock, type Clock } from '../common/clock.js';

/** How often it is looked whether the limit is reached. */
const STEP_MS = 1_000;

/** A look that is later than this shows that the machine was asleep, or the process stopped. */
const LATE_MS = 2_000;

/**
 * A limit in time, in which the time that the process does not run counts for nothing.
 *
 * It is started over by the thousand, so that costs no more than reading the clock: its timer is left
 * to run out.
 */
export class Countdown {
  readonly #onExpired: () => void;
  readonly #onLook: ((elapsedMs: number) => void) | undefined;
  readonly #clock: Clock;
  #limitMs = 0;
  #isRunning = false;
  /** Moved on by the time that does not count. */
  #startedAtMs = 0;
  #dismiss: (() => void) | undefined;
  #timerDueAtMs = 0;

  /** @param onLook called every second or so, with the time since the start */
  constructor(
    onExpired: () => void,
    onLook?: (elapsedMs: number) => void,
    clock: Clock = busyClock,
  ) {
    this.#onExpired = onExpired;
    this.#onLook = onLook;
    this.#clock = clock;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  get limitMs(): number {
    return this.#limitMs;
  }

  /** Gives it the whole time, whether it runs or not. */
  start(limitMs: number): void {
    this.#isRunning = true;
    this.#limitMs = limitMs;
    this.#startedAtMs = this.#clock.now();
    const dueAtMs = this.#startedAtMs + limitMs;
    if (this.#dismiss === undefined || this.#timerDueAtMs > dueAtMs) this.#setTimer();
  }

  /** Stops it until the next start, which is to come soon. */
  pause(): void {
    this.#isRunning = false;
  }

  /** Stops it, and keeps no process alive. */
  end(): void {
    this.#isRunning = false;
    this.#dismiss?.();
    this.#dismiss = undefined;
  }

  #setTimer(): void {
    this.#dismiss?.();
    const nowMs = this.#clock.now();
    const leftMs = this.#startedAtMs + this.#limitMs - nowMs;
    // Rounded up, and the timer may still be early by a part of a millisecond.
    const delayMs = Math.ceil(Math.max(Math.min(leftMs, STEP_MS), 0));
    this.#timerDueAtMs = nowMs + delayMs;
    this.#dismiss = this.#clock.schedule(() => this.#look(), delayMs);
  }

  #look(): void {
    this.#dismiss = undefined;
    if (!this.#isRunning) return;
    const nowMs = this.#clock.now();
    const lateMs = nowMs - this.#timerDueAtMs;
    const wasStartedBefore = this.#startedAtMs <= this.#timerDueAtMs;
    if (lateMs > LATE_MS && wasStartedBefore) this.#startedAtMs += lateMs;
    const elapsedMs = nowMs - this.#startedAtMs;
    if (elapsedMs >= this.#limitMs) {
      this.#onExpired();
      return;
    }
    this.#onLook?.(elapsedMs);
    if (this.#isRunning && this.#dismiss === undefined) this.#setTimer();
  }
}
