import { setTimeout as wait } from 'node:timers/promises';

/** Time as a job measures it; a test brings its own. */
export interface Clock {
  /** Milliseconds since some moment. */
  readonly now: () => number;
  /** Rejects as soon as the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly schedule: Schedule;
}

/** Calls back once after so long, unless the function that it returns is called before. */
export type Schedule = (work: () => void, delayMs: number) => () => void;

// As they are now: a test suite that replaces timers would take ours along.
const startImmediate = setImmediate;
const startTimer = setTimeout;
const stopTimer = clearTimeout;

/** A timer that keeps no process alive. */
export const later: Schedule = (work, delayMs) => {
  const timer = startTimer(work, delayMs).unref();
  return () => stopTimer(timer);
};

/** Lets timers, signals and sockets have their turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    startImmediate(resolve);
  });
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
  schedule: later,
};

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
  readonly #clock: Pick<Clock, 'now' | 'schedule'>;
  #elapsedMs = 0;
  #countedAtMs: number;
  #gaps = 0;
  #dismiss: (() => void) | undefined;

  constructor(clock: Pick<Clock, 'now' | 'schedule'> = systemClock) {
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
