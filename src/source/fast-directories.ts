/** A directory is trusted for so long after a file in it opened fast. */
const TRUSTED_MS = 1000;

/** And for so long not, after one was slow to open. */
const DISTRUSTED_MS = 10_000;

/** An open that took so long reached beyond this machine's memory. */
const SLOW_MS = 1;

/** A trip to another thread is over after this, however busy this one is. */
const SLOW_TRIP_MS = 10;

const MAX_DIRECTORIES = 100;

/**
 * Directories whose files open within microseconds, as far as their last file tells.
 *
 * Opening a file of a local disk takes 5 µs, and the trip to another thread for it ten times as
 * much, which is a good part of the cost of a small file. On a network drive the trip is needed, or
 * the process would stand still when the drive does.
 */
export class FastDirectories {
  readonly #now: () => number;
  readonly #known = new Map<string, { readonly fast: boolean; readonly untilMs: number }>();

  /** @param now milliseconds from any fixed point; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether the next file of the directory may be opened without a trip to another thread. */
  has(directory: string): boolean {
    const known = this.#known.get(directory);
    return known?.fast === true && this.#now() < known.untilMs;
  }

  /**
   * Learns how long it took to open a file.
   * @param trip whether that was on another thread
   */
  note(directory: string, took: { readonly ms: number; readonly trip: boolean }): void {
    const fast = took.ms < (took.trip ? SLOW_TRIP_MS : SLOW_MS);
    const nowMs = this.#now();
    const known = this.#known.get(directory);
    // A trip says little: what was slow without one is left alone for a while.
    if (fast && known?.fast === false && nowMs < known.untilMs) return;
    this.#known.delete(directory);
    this.#known.set(directory, {
      fast,
      untilMs: nowMs + (fast ? TRUSTED_MS : DISTRUSTED_MS),
    });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_DIRECTORIES && oldest !== undefined) this.#known.delete(oldest);
  }
}
