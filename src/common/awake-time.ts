import { type Clock, idleClock } from './clock.js';

/** How often time is counted, and so how long a sleep of the machine can seem at most. */
const STEP_MS = 1000;

/** A step that took longer than this was a sleep of the machine, or a process that was stopped. */
const GAP_MS = 5000;

/**
 * Counts time in short steps, so that a machine that sleeps adds one step and not eight hours.
 *
 * The monotonic clock goes on in sleep on Windows and macOS; timers never do.
 */
export class AwakeTime {
  readonly #clock: Clock;
  #countedAtMs: number;
  #elapsedMs = 0;
  #gaps = 0;
  #stopTimer = (): void => {};

  constructor(clock: Clock = idleClock) {
    this.#clock = clock;
    this.#countedAtMs = clock.now();
    this.#countSoon();
  }

  get elapsedMs(): number {
    this.#count();
    return this.#elapsedMs;
  }

  /** How often the machine was asleep, or the process stopped, since this began. */
  get gaps(): number {
    this.#count();
    return this.#gaps;
  }

  /** It is not looked at any more. */
  stop(): void {
    this.#stopTimer();
  }

  #countSoon(): void {
    this.#stopTimer = this.#clock.schedule(() => {
      this.#count();
      this.#countSoon();
    }, STEP_MS);
  }

  /** Up to now. */
  #count(): void {
    const nowMs = this.#clock.now();
    const stepMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#countedAtMs = nowMs;
    if (stepMs > GAP_MS) this.#gaps++;
    this.#elapsedMs += stepMs > GAP_MS ? STEP_MS : stepMs;
  }
}
