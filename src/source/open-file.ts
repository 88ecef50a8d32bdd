import * as nodeFs from 'node:fs';
import { dirname } from 'node:path';
import { type DirectoryHabit, DirectoryHabits } from './directory-habits.js';

/** Reads of so many bytes are worth no trip: the system copies them in 10 µs. */
const SMALL_READ_BYTES = 64 * 1024;

type FileCalls = Pick<
  typeof nodeFs,
  'fstat' | 'fstatSync' | 'read' | 'readSync' | 'close' | 'closeSync'
>;

/** Those of this process. */
const directoryHabits = new DirectoryHabits();

/**
 * An open file by its descriptor; calls never overlap.
 *
 * Small things are asked for without a trip to another thread while the files of the directory are
 * known to answer at once, and large ones, and all of other directories, with one: nothing else in
 * the process then has to wait.
 */
export class OpenFile {
  readonly #fd: number;
  readonly #habit: DirectoryHabit;
  readonly #calls: FileCalls;

  /** @param calls for tests. */
  constructor(fd: number, habit: DirectoryHabit, calls: FileCalls = nodeFs) {
    this.#fd = fd;
    this.#habit = habit;
    this.#calls = calls;
  }

  /** @param options `mayTakeLong`: another program has to do something before the file opens. */
  static async open(
    path: string,
    flags: string | number,
    options: { readonly mayTakeLong?: boolean } = {},
  ): Promise<OpenFile> {
    const habit = directoryHabits.of(dirname(path));
    if (habit.isFast && !options.mayTakeLong) {
      return new OpenFile(
        timed(habit, () => nodeFs.openSync(path, flags)),
        habit,
      );
    }
    const startMs = performance.now();
    const fd = await new Promise<number>((resolve, reject) => {
      nodeFs.open(path, flags, (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    habit.noteTrip(performance.now() - startMs);
    return new OpenFile(fd, habit);
  }

  stat(): nodeFs.BigIntStats | Promise<nodeFs.BigIntStats> {
    const options = { bigint: true } as const;
    if (this.#habit.isFast) {
      return timed(this.#habit, () => this.#calls.fstatSync(this.#fd, options));
    }
    return new Promise((resolve, reject) => {
      this.#calls.fstat(this.#fd, options, (error, stats) =>
        error ? reject(error) : resolve(stats),
      );
    });
  }

  /** Gives fewer bytes than asked for where the file ends, and now and then elsewhere. */
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): number | Promise<number> {
    if (this.#habit.isFast && length <= SMALL_READ_BYTES) {
      return timed(this.#habit, () =>
        this.#calls.readSync(this.#fd, buffer, offset, length, position),
      );
    }
    return new Promise((resolve, reject) => {
      this.#calls.read(this.#fd, buffer, offset, length, position, (error, bytesRead) =>
        error ? reject(error) : resolve(bytesRead),
      );
    });
  }

  close(): void | Promise<void> {
    if (this.#habit.isFast) return this.#calls.closeSync(this.#fd);
    return new Promise((resolve, reject) => {
      this.#calls.close(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }
}

function timed<T>(habit: DirectoryHabit, call: () => T): T {
  const startMs = performance.now();
  try {
    return call();
  } finally {
    habit.noteWait(performance.now() - startMs);
  }
}
