/** Lets the clocks of this process jump, as they do when a machine sleeps or its time is set. */
export class JumpingClock {
  readonly #monotonic = performance.now;
  readonly #wall = Date.now;
  #monotonicMs = 0;
  #wallMs = 0;

  constructor() {
    performance.now = () => this.#monotonic.call(performance) + this.#monotonicMs;
    Date.now = () => this.#wall() + this.#wallMs;
  }

  /** Timers do not notice it: they stand still while a machine sleeps. */
  sleep(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }

  /** Changes the time of day. */
  set(byMs: number): void {
    this.#wallMs += byMs;
  }

  restore(): void {
    performance.now = this.#monotonic;
    Date.now = this.#wall;
  }
}
