/** Calls back once after so long, unless the function that it returns is called before. */
export type Schedule = (work: () => void, delayMs: number) => () => void;

// As they are now: a test suite that puts its own in their place takes its timers away with them.
const startImmediate = setImmediate;
const startTimer = setTimeout;
const stopTimer = clearTimeout;

/** Keeps no process alive for the sake of what is to be done later. */
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
