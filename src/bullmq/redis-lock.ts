import { later } from '../common/clock.js';
import type { JobLock, LockOwner } from '../store/store.js';

/** Renewals in the time of one lock: two may be lost. */
const RENEWALS = 3;

export interface LockTerms {
  readonly owner: LockOwner;
  /** What Redis holds for it; no other lock has the same. */
  readonly value: string;
  readonly lockMs: number;
  /** When it was asked for: Redis counts from no earlier moment. */
  readonly askedAt: Moment;
  /** @returns false when somebody else may have the lock */
  readonly renew: () => Promise<boolean>;
  readonly release: () => Promise<void>;
}

/** A moment on two clocks: one of them goes on while the process, or the machine, sleeps. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function now(): Moment {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}

function elapsedMs(since: Moment): number {
  const { monotonicMs, wallMs } = now();
  return Math.max(monotonicMs - since.monotonicMs, wallMs - since.wallMs);
}

/**
 * A lock that Redis forgets after some time, unless it is renewed.
 *
 * It ends here before it ends there: a process that was paused for too long finds it lost as soon as
 * it looks, whatever Redis says by then.
 */
export class RedisLock implements JobLock {
  readonly owner: LockOwner;
  readonly value: string;
  readonly lost: AbortSignal;
  readonly #lost = new AbortController();
  readonly #terms: LockTerms;
  #validSince: Moment;
  #dismiss: () => void = () => {};
  #renewing: Promise<void> | undefined;
  #isReleased = false;

  constructor(terms: LockTerms) {
    this.owner = terms.owner;
    this.value = terms.value;
    this.lost = this.#lost.signal;
    this.#terms = terms;
    this.#validSince = terms.askedAt;
    this.#watch();
  }

  /** Whether nobody else can have it at this moment; tells `lost` when somebody may. */
  get isHeld(): boolean {
    if (!this.#isReleased && elapsedMs(this.#validSince) >= this.#terms.lockMs) this.#lost.abort();
    return !this.#isReleased && !this.lost.aborted;
  }

  /** Renews a lock of which a good part has passed; whoever makes progress calls it. */
  async renewFromProgress(): Promise<void> {
    if (elapsedMs(this.#validSince) >= this.#terms.lockMs / (2 * RENEWALS)) await this.#renew();
  }

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#dismiss();
    await this.#terms.release();
  }

  #watch(): void {
    this.#dismiss();
    if (!this.isHeld) return;
    const leftMs = this.#terms.lockMs - elapsedMs(this.#validSince);
    this.#dismiss = later(
      () => {
        if (this.isHeld) void this.#renew();
        this.#watch();
      },
      Math.max(1, Math.min(this.#terms.lockMs / RENEWALS, leftMs)),
    );
  }

  #renew(): Promise<void> {
    this.#renewing ??= this.#ask().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #ask(): Promise<void> {
    const askedAt = now();
    try {
      const isRenewed = await this.#terms.renew();
      if (this.#isReleased) return;
      if (isRenewed) this.#validSince = askedAt;
      else this.#lost.abort();
    } catch {
      // Redis may answer the next time; if it does not, the lock ends by the clock.
    }
  }
}
