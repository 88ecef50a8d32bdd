import type { Clock } from '../../src/common/clock.js';

/** A clock that stands still until a test moves it on. */
export class FakeClock implements Clock {
  nowMs: number;
  /** How late timers come, as on a busy machine. */
  lateMs = 0;
  readonly timers = new Set<{ readonly work: () => void; readonly dueMs: number }>();

  constructor(nowMs = 0) {
    this.nowMs = nowMs;
  }

  readonly now = (): number => this.nowMs;

  readonly schedule = (work: () => void, delayMs: number): (() => void) => {
    const timer = { work, dueMs: this.nowMs + delayMs + this.lateMs };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  /** As time passes for a process that runs: every timer fires when it is due. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.timers].sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined || next.dueMs > endMs) break;
      this.timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.work();
    }
    this.nowMs = endMs;
  }
}
