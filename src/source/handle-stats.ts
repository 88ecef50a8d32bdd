import { type BigIntStats, fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** Longer than this, and the answer came over a network. */
const SLOW_MS = 10;

/**
 * The size and times of an open file, asked for after every block that is read.
 *
 * A local file system has them in memory: 2 µs, while a trip to another thread and back takes 100.
 * Where they take long, the trip is made after all, so that nothing else has to wait.
 */
export class HandleStats {
  readonly #handle: FileHandle;
  readonly #now: () => number;
  #slow = false;

  /** @param now milliseconds from any fixed point; for tests */
  constructor(handle: FileHandle, now: () => number = () => performance.now()) {
    this.#handle = handle;
    this.#now = now;
  }

  async read(): Promise<BigIntStats> {
    if (this.#slow || this.#handle.fd < 0) return await this.#handle.stat({ bigint: true });
    const startMs = this.#now();
    const stats = fstatSync(this.#handle.fd, { bigint: true });
    this.#slow = this.#now() - startMs > SLOW_MS;
    return stats;
  }
}
