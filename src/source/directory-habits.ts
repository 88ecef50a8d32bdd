/** A directory is trusted for so long after a file in it answered fast. */
const TRUSTED_MS = 1000;

/** And for so long not, after its files made the process wait. */
const DISTRUSTED_MS = 10_000;

/** An answer that takes so long may come from beyond this machine's memory. */
const SLOW_MS = 0.5;

/** So many of those are too many: of one, the process may as well have been out of its turn. */
const TOO_MANY = 3;

/** A fast answer makes up for this much of a slow one. */
const MAKES_UP = 1 / 8;

/** One that took so long is enough. */
const TOO_LONG_MS = 100;

/** A trip to another thread takes less than this on a local disk, unless much else is to be done. */
const FAST_TRIP_MS = 10;

const MAX_DIRECTORIES = 100;

/**
 * How fast the files of a directory answered of late, and so whether the process may wait for them.
 *
 * What a local disk has at hand takes some µs, and the trip to another thread for it ten times as
 * much, which is a good part of the cost of a small file. On a network drive the trip is needed, or
 * the process would stand still when the drive does.
 */
export class DirectoryHabit {
  readonly #now: () => number;
  #isTrusted = false;
  #untilMs = 0;
  #slowAnswers = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether the next small thing may be asked for without a trip to another thread. */
  get isFast(): boolean {
    return this.#isTrusted && this.#now() < this.#untilMs;
  }

  /** Learns how long it took to open a file on another thread, the way there and back included. */
  noteTrip(ms: number): void {
    if (ms < FAST_TRIP_MS && !this.isDistrusted) this.#trust();
  }

  /** Whether there is reason not to wait for the directory's files, for some time. */
  get isDistrusted(): boolean {
    return !this.#isTrusted && this.#now() < this.#untilMs;
  }

  distrust(): void {
    this.#isTrusted = false;
    this.#untilMs = this.#now() + DISTRUSTED_MS;
    this.#slowAnswers = 0;
  }

  /** Learns how long the process had to wait for an answer. */
  noteWait(ms: number): void {
    if (ms >= SLOW_MS) this.#slowAnswers++;
    else this.#slowAnswers = Math.max(0, this.#slowAnswers - MAKES_UP);
    if (this.#slowAnswers < TOO_MANY && ms < TOO_LONG_MS) {
      this.#trust();
      return;
    }
    this.distrust();
  }

  #trust(): void {
    this.#isTrusted = true;
    this.#untilMs = this.#now() + TRUSTED_MS;
  }
}

/** The habits of the directories that were used last. */
export class DirectoryHabits {
  readonly #now: () => number;
  readonly #habits = new Map<string, DirectoryHabit>();
  #latest: { readonly directory: string; readonly habit: DirectoryHabit } | undefined;

  /** @param now milliseconds from any fixed point; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  of(directory: string): DirectoryHabit {
    if (this.#latest?.directory === directory) return this.#latest.habit;
    const habit = this.#habits.get(directory) ?? new DirectoryHabit(this.#now);
    this.#habits.delete(directory);
    this.#habits.set(directory, habit);
    this.#latest = { directory, habit };
    const [oldest] = this.#habits.keys();
    if (this.#habits.size > MAX_DIRECTORIES && oldest !== undefined) this.#habits.delete(oldest);
    return habit;
  }
}
