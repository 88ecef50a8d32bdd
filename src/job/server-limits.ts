import { sharedByCopies } from '../across-copies.js';

/** A limit may be raised; after so long the next upload finds out by itself. */
const REMEMBERED_MS = 60 * 60 * 1000;
const MAX_ORIGINS = 100;

/** The largest fragments that servers take, as uploads of this process have found out. */
export class ServerLimits {
  readonly #now: () => number;
  readonly #limits = new Map<string, { readonly bytes: number; readonly atMs: number }>();

  /** @param now milliseconds from any fixed point; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined while nothing is known, or no longer. */
  of(origin: string): number | undefined {
    const limit = this.#limits.get(origin);
    if (limit === undefined || this.#now() - limit.atMs > REMEMBERED_MS) return undefined;
    return limit.bytes;
  }

  learn(origin: string, bytes: number): void {
    this.#limits.delete(origin);
    this.#limits.set(origin, { bytes, atMs: this.#now() });
    const [oldest] = this.#limits.keys();
    if (this.#limits.size > MAX_ORIGINS && oldest !== undefined) this.#limits.delete(oldest);
  }
}

/** Those of this process. */
export const serverLimits = sharedByCopies('server-limits', () => new ServerLimits());
