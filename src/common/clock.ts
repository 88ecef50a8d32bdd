/** Calls back once after so long, unless the function that it returns is called before. */
export type Schedule = (work: () => void, delayMs: number) => () => void;

/** Time as it is measured and waited for; a test brings its own. */
export interface Clock {
  /** Milliseconds since some moment, monotonic. */
  readonly now: () => number;
  readonly schedule: Schedule;
}

// As they are now: a test suite that replaces timers would take ours along.
const startTimer = setTimeout;
const stopTimer = clearTimeout;
const startImmediate = setImmediate;

/** A timer that keeps no process alive. */
export const later: Schedule = (work, delayMs) => {
  const timer = startTimer(work, delayMs).unref();
  return () => stopTimer(timer);
};

/** Its timers keep no process alive. */
export const idleClock: Clock = { now: () => performance.now(), schedule: later };

/** Its timers keep the process alive: what is waited for may have no connection yet that does. */
export const busyClock: Clock = {
  now: () => performance.now(),
  schedule: (work, delayMs) => {
    const timer = startTimer(work, delayMs);
    return () => stopTimer(timer);
  },
};

/** Lets timers, signals and sockets have their turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    startImmediate(resolve);
  });
}
