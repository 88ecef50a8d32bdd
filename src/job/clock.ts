import { setTimeout as wait } from 'node:timers/promises';
import { later, type Schedule } from '../common/awake-time.js';

/** Time as a job measures it; a test brings its own. */
export interface Clock {
  /** Milliseconds since some moment. */
  readonly now: () => number;
  /** Rejects as soon as the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly schedule: Schedule;
}

// As it is now: a test suite that replaces timers would take ours along.
const startImmediate = setImmediate;

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
