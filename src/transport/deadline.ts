import { BitsTimeoutError } from '../errors.js';

/**
 * What is waited for: the request to move, the answer's head, more of the answer's body, or, where
 * sending cannot be seen, the first two as one.
 */
export type Phase = 'send' | 'answer' | 'answer-body' | 'send-and-answer';

/** The longest delay that a timer can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One timer that is moved on by every sign of life of an exchange. */
export class Deadline {
  readonly #limits: { readonly stallTimeoutMs: number; readonly answerTimeoutMs: number };
  readonly #host: string;
  readonly #onExpired: (error: BitsTimeoutError) => void;
  #phase: Phase | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    limits: { readonly stallTimeoutMs: number; readonly answerTimeoutMs: number },
    host: string,
    onExpired: (error: BitsTimeoutError) => void,
  ) {
    this.#limits = limits;
    this.#host = host;
    this.#onExpired = onExpired;
  }

  /** Gives the phase its whole time, again if it runs already. */
  run(phase: Phase): void {
    if (this.#timer !== undefined && this.#phase === phase) {
      this.#timer.refresh();
      return;
    }
    this.stop();
    this.#phase = phase;
    const { stallTimeoutMs, answerTimeoutMs } = this.#limits;
    const limitMs = {
      send: stallTimeoutMs,
      answer: answerTimeoutMs,
      'answer-body': answerTimeoutMs,
      'send-and-answer': stallTimeoutMs + answerTimeoutMs,
    }[phase];
    if (limitMs > MAX_TIMER_MS) return;
    this.#timer = setTimeout(() => this.#onExpired(this.#error(phase, limitMs)), limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #error(phase: Phase, limitMs: number): BitsTimeoutError {
    const host = this.#host;
    return new BitsTimeoutError(
      {
        send: `No byte of the request moved towards ${host} for ${limitMs} ms (stallTimeoutMs): check that it can be reached and that nothing in between holds the data up`,
        answer: `${host} did not answer within ${limitMs} ms after the whole request was sent (answerTimeoutMs): check the server's load, or raise the time if its application needs longer`,
        'send-and-answer': `${host} did not take the request and answer within ${limitMs} ms (stallTimeoutMs + answerTimeoutMs): check that it can be reached, and its load`,
        'answer-body': `${host} sent nothing more of its answer for ${limitMs} ms (answerTimeoutMs): check the server and the network to it`,
      }[phase],
    );
  }
}
