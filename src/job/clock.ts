import { setTimeout as wait } from 'node:timers/promises';

/** Time as a job measures it; a test brings its own. */
export interface Clock {
  /** Milliseconds since some moment; never jumps. */
  readonly now: () => number;
  /** Rejects as soon as the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
};
