import type { Clock } from '../../src/common/clock.js';

/** A clock that a test moves on. */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #timer: { readonly work: () => void; readonly dueAtMs: number } | undefined;

  readonly now = () => this.#nowMs;

  readonly schedule = (work: () => void, delayMs: number) => {
    const timer = { work, dueAtMs: this.#nowMs + delayMs };
    this.#timer = timer;
    return () => {
      if (timer === this.#timer) this.#timer = undefined;
    };
  };

  get isTimerSet(): boolean {
    return this.#timer !== undefined;
  }

  /** Time passes while the process runs. */
  run(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#timer !== undefined && this.#timer.dueAtMs <= endMs) {
      this.#nowMs = Math.max(this.#nowMs, this.#timer.dueAtMs);
      this.#fire();
    }
    this.#nowMs = endMs;
  }

  /** Time passes while the process does not run; what is due happens afterwards. */
  sleep(ms: number): void {
    this.#nowMs += ms;
    if (this.#timer !== undefined && this.#timer.dueAtMs <= this.#nowMs) this.#fire();
  }

  #fire(): void {
    const timer = this.#timer;
    this.#timer = undefined;
    timer?.work();
  }
}
