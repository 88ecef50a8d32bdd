/** A directory is trusted for so long after a file in it opened fast. */
const TRUSTED_MS = 1000;

/** And for so long not, after its files made the process wait. */
const DISTRUSTED_MS = 10_000;

/** Files that take longer than this on average come from beyond this machine's memory. */
const SLOW_MEAN_MS = 0.5;

/** What one open counts in that average: the process may as well have been out of its turn. */
const WEIGHT = 1 / 16;

/** One that took so long is enough. */
const SLOW_MS = 20;

/** A trip to another thread takes less than this on a local disk, unless much else is to be done. */
const FAST_TRIP_MS = 10;

const MAX_DIRECTORIES = 100;

interface Habit {
  readonly trusted: boolean;
  readonly untilMs: number;
  /** How long opening a file took without a trip, on average. */
  readonly meanMs: number;
}

/**
 * Directories whose files open within microseconds, as far as their last files tell.
 *
 * Opening a file of a local disk takes 5 µs, and the trip to another thread for it ten times as
 * much, which is a good part of the cost of a small file. On a network drive the trip is needed, or
 * the process would stand still when the drive does.
 */
export class FastDirectories {
  readonly #now: () => number;
  readonly #habits = new Map<string, Habit>();

  /** @param now milliseconds from any fixed point; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether the next file of the directory may be opened without a trip to another thread. */
  has(directory: string): boolean {
    const habit = this.#habits.get(directory);
    return habit?.trusted === true && this.#now() < habit.untilMs;
  }

  /** Learns how long it took to open a file on another thread, the way there and back included. */
  noteTrip(directory: string, ms: number): void {
    const habit = this.#habits.get(directory);
    const isDistrusted = habit?.trusted === false && this.#now() < habit.untilMs;
    if (ms < FAST_TRIP_MS && !isDistrusted) this.#trust(directory, 0);
  }

  /** Learns how long the process had to wait for a file to open. */
  noteWait(directory: string, ms: number): void {
    const before = this.#habits.get(directory)?.meanMs ?? 0;
    const meanMs = before + (ms - before) * WEIGHT;
    if (meanMs < SLOW_MEAN_MS && ms < SLOW_MS) this.#trust(directory, meanMs);
    else this.#set(directory, { trusted: false, untilMs: this.#now() + DISTRUSTED_MS, meanMs: 0 });
  }

  #trust(directory: string, meanMs: number): void {
    this.#set(directory, { trusted: true, untilMs: this.#now() + TRUSTED_MS, meanMs });
  }

  #set(directory: string, habit: Habit): void {
    this.#habits.delete(directory);
    this.#habits.set(directory, habit);
    const [oldest] = this.#habits.keys();
    if (this.#habits.size > MAX_DIRECTORIES && oldest !== undefined) this.#habits.delete(oldest);
  }
}
