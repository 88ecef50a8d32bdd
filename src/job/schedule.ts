/** Calls back once after so long, unless the function that it returns is called before. */
export type Schedule = (work: () => void, delayMs: number) => () => void;

/** Keeps no process alive for the sake of what is to be done later. */
export const later: Schedule = (work, delayMs) => {
  const timer = setTimeout(work, delayMs).unref();
  return () => clearTimeout(timer);
};
