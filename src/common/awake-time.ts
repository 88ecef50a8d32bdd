import { type Clock, idleClock } from './clock.js';

/** How often time is counted, and so how long a sleep of the machine can seem at most. */
const STEP_MS = 1000;

/** A step that took longer than this was a sleep of the machine, or a process that was stopped. */
const GAP_MS = 5000;

/** Counts steps while anybody wants to know; all who use one clock share them. */
class Steps {
  readonly #clock: Clock;
  #users = 0;
  #hasTimer = false;
  #countedAtMs = 0;
  /** Of no meaning but to be compared with each other. */
  #elapsedMs = 0;
  #gaps = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(): void {
    if (this.#users++ > 0) return;
    this.#countedAtMs = this.#clock.now();
    if (!this.#hasTimer) this.#tick();
  }

  end(): void {
    this.#users--;
  }

  /** Up to now. */
  count(): { readonly elapsedMs: number; readonly gaps: number } {
    const nowMs = this.#clock.now();
    const stepMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#countedAtMs = nowMs;
    if (stepMs > GAP_MS) this.#gaps++;
    this.#elapsedMs += stepMs > GAP_MS ? STEP_MS : stepMs;
    return { elapsedMs: this.#elapsedMs, gaps: this.#gaps };
  }

  #tick(): void {
    this.#hasTimer = true;
    this.#clock.schedule(() => {
      this.#hasTimer = false;
      if (this.#users === 0) return;
      this.count();
      this.#tick();
    }, STEP_MS);
  }
}

const stepsOfClocks = new WeakMap<Clock, Steps>();

/**
 * Counts time in short steps, so that a machine that sleeps adds one step and not eight hours.
 *
 * The monotonic clock goes on in sleep on Windows and macOS; timers never do.
 */
export class AwakeTime {
  readonly #steps: Steps;
  readonly #began: { readonly elapsedMs: number; readonly gaps: number };
  #isRunning = true;

  constructor(clock: Clock = idleClock) {
    this.#steps = stepsOfClocks.get(clock) ?? new Steps(clock);
    stepsOfClocks.set(clock, this.#steps);
    this.#steps.begin();
    this.#began = this.#steps.count();
  }

  get elapsedMs(): number {
    return this.#steps.count().elapsedMs - this.#began.elapsedMs;
  }

  /** How often the machine was asleep, or the process stopped, since this began. */
  get gaps(): number {
    return this.#steps.count().gaps - this.#began.gaps;
  }

  /** It is not looked at any more. */
  stop(): void {
    if (this.#isRunning) this.#steps.end();
    this.#isRunning = false;
  }
}
