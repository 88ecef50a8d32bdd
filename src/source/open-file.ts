import * as nodeFs from 'node:fs';
import { dirname } from 'node:path';
import { type DirectoryHabit, DirectoryHabits } from './directory-habits.js';
import { isOnLocalFileSystem } from './local-file-system.js';
import type { MaybePromise } from './maybe-promise.js';

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
  /** Undefined: the file may be elsewhere. */
  readonly #habit: DirectoryHabit | undefined;
  readonly #calls: FileCalls;

  /** @param calls for tests. */
  constructor(fd: number, habit: DirectoryHabit | undefined, calls: FileCalls = nodeFs) {
    this.#fd = fd;
    this.#habit = habit;
    this.#calls = calls;
  }

  /**
   * Opens a file and looks at it, while the files of its directory answer at once.
   *
   * Not through a symbolic link: where it leads to is no file of the directory.
   * @returns undefined where they do not, where something is wrong and for what is not wanted
   */
  static openAtOnce(
    path: string,
    flags: number,
    isWanted: (stats: nodeFs.BigIntStats) => boolean,
  ): { readonly file: OpenFile; readonly stats: nodeFs.BigIntStats } | undefined {
    const habit = directoryHabits.of(dirname(path));
    if (!habit.isFast) return undefined;
    let fd: number | undefined;
    try {
      const unlinked = flags | (nodeFs.constants.O_NOFOLLOW ?? 0);
      fd = timed(habit, () => nodeFs.openSync(path, unlinked));
      const stats = nodeFs.fstatSync(fd, { bigint: true });
      if (isWanted(stats)) return { file: new OpenFile(fd, habit), stats };
    } catch {
      // Whoever opens it the other way is told what is wrong.
    }
    if (fd !== undefined) nodeFs.close(fd, () => {});
    return undefined;
  }

  /** @param options `mayTakeLong`: another program has to do something before the file opens. */
  static async open(
    path: string,
    flags: string | number,
    options: { readonly mayTakeLong?: boolean } = {},
  ): Promise<OpenFile> {
    const habit = directoryHabits.of(dirname(path));
    const startMs = performance.now();
    const fd = await new Promise<number>((resolve, reject) => {
      nodeFs.open(path, flags, (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    const tripMs = performance.now() - startMs;
    if (habit.isDistrusted || options.mayTakeLong) return new OpenFile(fd, undefined);
    // Of a network drive, one that answers fast may hang for ever a moment later.
    if (!(await isOnLocalFileSystem(path))) {
      habit.distrust();
      return new OpenFile(fd, undefined);
    }
    habit.noteTrip(tripMs);
    return new OpenFile(fd, habit);
  }

  stat(): MaybePromise<nodeFs.BigIntStats> {
    const options = { bigint: true } as const;
    const habit = this.#habit;
    if (habit?.isFast) {
      return timed(habit, () => this.#calls.fstatSync(this.#fd, options));
    }
    return new Promise((resolve, reject) => {
      this.#calls.fstat(this.#fd, options, (error, stats) =>
        error ? reject(error) : resolve(stats),
      );
    });
  }

  /** Gives fewer bytes than asked for where the file ends, and now and then elsewhere. */
  read(buffer: Uint8Array, offset: number, length: number, position: number): MaybePromise<number> {
    const habit = this.#habit;
    if (habit?.isFast && length <= SMALL_READ_BYTES) {
      return timed(habit, () => this.#calls.readSync(this.#fd, buffer, offset, length, position));
    }
    return new Promise((resolve, reject) => {
      this.#calls.read(this.#fd, buffer, offset, length, position, (error, bytesRead) =>
        error ? reject(error) : resolve(bytesRead),
      );
    });
  }

  close(): MaybePromise<void> {
    if (this.#habit?.isFast) return this.#calls.closeSync(this.#fd);
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
