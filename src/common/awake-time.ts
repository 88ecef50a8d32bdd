/** Calls back once after so long, unless the function that it returns is called before. */
export type Schedule = (work: () => void, delayMs: number) => () => void;

// As they are now: a test suite that replaces timers would take ours along.
const startTimer = setTimeout;
const stopTimer = clearTimeout;

/** A timer that keeps no process alive. */
export const later: Schedule = (work, delayMs) => {
  const timer = startTimer(work, delayMs).unref();
  return () => stopTimer(timer);
};

/** Time as it is counted in steps; a test brings its own. */
interface StepClock {
  /** Milliseconds since some moment. */
  readonly now: () => number;
  readonly schedule: Schedule;
}

const SYSTEM: StepClock = { now: () => performance.now(), schedule: later };

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
  readonly #clock: StepClock;
  #elapsedMs = 0;
  #countedAtMs: number;
  #gaps = 0;
  #dismiss: (() => void) | undefined;

  constructor(clock: StepClock = SYSTEM) {
    this.#clock = clock;
    this.#countedAtMs = clock.now();
    this.#tick();
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

  stop(): void {
    this.#dismiss?.();
  }

  #tick(): void {
    this.#dismiss = this.#clock.schedule(() => {
      this.#count();
      this.#tick();
    }, STEP_MS);
  }

  #count(): void {
    const nowMs = this.#clock.now();
    const stepMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#countedAtMs = nowMs;
    if (stepMs > GAP_MS) this.#gaps++;
    this.#elapsedMs += stepMs > GAP_MS ? STEP_MS : stepMs;
  }
}
