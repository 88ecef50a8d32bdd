import * as nodeFs from 'node:fs';
import { dirname } from 'node:path';
import { FastDirectories } from './fast-directories.js';

/** A call that takes longer than this reached beyond this machine's memory. */
const SLOW_MS = 10;

/** Reads of so many bytes are worth no trip: the system copies them in 10 µs. */
const SMALL_READ_BYTES = 64 * 1024;

type FileCalls = Pick<
  typeof nodeFs,
  'fstat' | 'fstatSync' | 'read' | 'readSync' | 'close' | 'closeSync'
>;

export interface OpenFileOptions {
  /** Milliseconds from any fixed point; for tests. @default performance.now */
  readonly now?: () => number;
  /** For tests. @default node:fs */
  readonly calls?: FileCalls;
}

/**
 * An open file by its descriptor; calls never overlap.
 *
 * A local file system has sizes, times and what was read lately in memory and answers within
 * microseconds, while a trip to another thread and back takes 100 and a `FileHandle` as much again.
 * So small things are asked for without a trip, until one of them was slow to come: then, as on a
 * network drive, all the others make it, so that nothing else in the process has to wait.
 */
export class OpenFile {
  readonly #fd: number;
  readonly #now: () => number;
  readonly #calls: FileCalls;
  #slow = false;

  constructor(fd: number, { now, calls }: OpenFileOptions = {}) {
    this.#fd = fd;
    this.#now = now ?? (() => performance.now());
    this.#calls = calls ?? nodeFs;
  }

  static async open(path: string, flags: string | number): Promise<OpenFile> {
    const directory = dirname(path);
    const startMs = performance.now();
    let fd: number;
    if (fastDirectories.has(directory)) {
      fd = nodeFs.openSync(path, flags);
      fastDirectories.noteWait(directory, performance.now() - startMs);
    } else {
      fd = await openElsewhere(path, flags);
      fastDirectories.noteTrip(directory, performance.now() - startMs);
    }
    return new OpenFile(fd);
  }

  stat(): nodeFs.BigIntStats | Promise<nodeFs.BigIntStats> {
    const options = { bigint: true } as const;
    if (!this.#slow) return this.#timed(() => this.#calls.fstatSync(this.#fd, options));
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
    if (!this.#slow && length <= SMALL_READ_BYTES) {
      return this.#timed(() => this.#calls.readSync(this.#fd, buffer, offset, length, position));
    }
    return new Promise((resolve, reject) => {
      this.#calls.read(this.#fd, buffer, offset, length, position, (error, bytesRead) =>
        error ? reject(error) : resolve(bytesRead),
      );
    });
  }

  close(): void | Promise<void> {
    if (!this.#slow) return this.#calls.closeSync(this.#fd);
    return new Promise((resolve, reject) => {
      this.#calls.close(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  #timed<T>(call: () => T): T {
    const startMs = this.#now();
    const result = call();
    this.#slow = this.#now() - startMs > SLOW_MS;
    return result;
  }
}

/** Those of this process. */
const fastDirectories = new FastDirectories();

function openElsewhere(path: string, flags: string | number): Promise<number> {
  return new Promise((resolve, reject) => {
    nodeFs.open(path, flags, (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}
