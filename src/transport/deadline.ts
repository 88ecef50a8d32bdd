import { BitsTimeoutError } from '../errors.js';

/**
 * What is waited for: the request to move, the answer's head, more of the answer's body, or, where
 * sending cannot be seen, the first two as one.
 */
export type Phase = 'send' | 'answer' | 'answer-body' | 'send-and-answer';

/** The longest delay that a timer can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A limit in time that starts over with every progress of an exchange.
 *
 * Its timer is left to run out and then set for the rest: progress comes by the thousand, and moving
 * a timer costs more than reading the clock.
 */
export class Deadline {
  readonly #limits: { readonly stallTimeoutMs: number; readonly answerTimeoutMs: number };
  readonly #url: URL;
  readonly #onExpired: (error: BitsTimeoutError) => void;
  #phase: Phase | undefined;
  #dueMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDueMs = 0;

  constructor(
    limits: { readonly stallTimeoutMs: number; readonly answerTimeoutMs: number },
    url: URL,
    onExpired: (error: BitsTimeoutError) => void,
  ) {
    this.#limits = limits;
    this.#url = url;
    this.#onExpired = onExpired;
  }

  /** Gives a phase its whole time, also when it runs already. */
  run(phase: Phase): void {
    this.#phase = phase;
    this.#dueMs = performance.now() + this.#limitMs(phase);
    if (this.#timer === undefined || this.#timerDueMs > this.#dueMs) this.#setTimer();
  }

  /** Nothing is waited for until the next `run`, which is to come soon. */
  pause(): void {
    this.#phase = undefined;
  }

  /** Nothing is waited for, and no process kept alive. */
  end(): void {
    this.#phase = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #limitMs(phase: Phase): number {
    const { stallTimeoutMs, answerTimeoutMs } = this.#limits;
    if (phase === 'send') return stallTimeoutMs;
    return phase === 'send-and-answer' ? stallTimeoutMs + answerTimeoutMs : answerTimeoutMs;
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    this.#timerDueMs = this.#dueMs;
    // Rounded up, and the timer may still be early by a part of a millisecond.
    const waitMs = Math.min(Math.ceil(this.#dueMs - performance.now()), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.#look(), waitMs);
  }

  #look(): void {
    this.#timer = undefined;
    const phase = this.#phase;
    if (phase === undefined) return;
    if (performance.now() < this.#dueMs) this.#setTimer();
    else this.#onExpired(this.#error(phase));
  }

  #error(phase: Phase): BitsTimeoutError {
    const { host } = this.#url;
    const limitMs = this.#limitMs(phase);
    return new BitsTimeoutError(
      {
        send: `No byte of the request moved towards ${host} for ${limitMs} ms (stallTimeoutMs): check that it can be reached and that nothing in between holds the data back`,
        answer: `${host} did not answer within ${limitMs} ms after the whole request was sent (answerTimeoutMs): check the server's load, or raise the time if its application needs longer`,
        'send-and-answer': `${host} did not take the request and answer within ${limitMs} ms (stallTimeoutMs + answerTimeoutMs): check that it can be reached, and its load`,
        'answer-body': `${host} sent nothing more of its answer for ${limitMs} ms (answerTimeoutMs): check the server and the network to it`,
      }[phase],
    );
  }
}
