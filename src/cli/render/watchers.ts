import type { OutputStream } from '../context.js';
import { Reporter } from './reporter.js';

/** Wants to know some of what a {@link Reporter} is told. */
export type Watcher = Partial<Pick<Reporter, keyof Reporter>>;

/** As exactly as this, watchers get their ticks. */
const TICK_MS = 1000;

type Method = Exclude<keyof Reporter, 'tickEveryMs' | 'tick'>;

const METHODS = Object.getOwnPropertyNames(Reporter.prototype).filter(
  (name): name is Method => name !== 'constructor' && name !== 'tick',
);

/** A reporter that tells several watchers all that it is told. */
export class WatchedReporter extends Reporter {
  override readonly tickEveryMs: number | undefined;
  readonly #watchers: readonly Watcher[];
  readonly #now: () => number;
  readonly #dueMs = new Map<Watcher, number>();

  constructor(stderr: OutputStream, watchers: readonly Watcher[], now: () => number) {
    super(stderr);
    this.#watchers = watchers;
    this.#now = now;
    const intervals = watchers.flatMap(({ tickEveryMs }) => tickEveryMs ?? []);
    this.tickEveryMs = intervals.length === 0 ? undefined : Math.min(TICK_MS, ...intervals);
    for (const watcher of watchers) this.#dueMs.set(watcher, now() + (watcher.tickEveryMs ?? 0));
    for (const name of METHODS) {
      this[name] = (...args: unknown[]) => {
        for (const watcher of watchers) {
          (watcher[name] as ((...args: unknown[]) => void) | undefined)?.apply(watcher, args);
        }
      };
    }
  }

  override tick(): void {
    const nowMs = this.#now();
    for (const watcher of this.#watchers) {
      const { tickEveryMs } = watcher;
      const dueMs = this.#dueMs.get(watcher) ?? 0;
      if (tickEveryMs === undefined || nowMs < dueMs) continue;
      // A timer that is late once must not be late for ever.
      this.#dueMs.set(watcher, Math.max(dueMs + tickEveryMs, nowMs));
      watcher.tick?.();
    }
  }
}
