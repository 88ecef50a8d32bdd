import type { Clock } from '../common/clock.js';
import { BitsTimeoutError } from '../errors.js';
import { Countdown } from './countdown.js';
import type { SendOptions } from './transport.js';

/**
 * What is waited for: the request to move, the head of the answer, more of its body, or, where
 * sending cannot be seen, the first two as one; or the caller's function for a name and a password.
 */
export type Phase = 'send' | 'answer' | 'answer-body' | 'send-and-answer' | 'login';

/** The limits that the caller set. */
export type Limits = Pick<SendOptions, 'stallTimeoutMs' | 'answerTimeoutMs'>;

export interface DeadlineOptions {
  /** In place of the caller's limits, for the phases that have other ones. */
  readonly limitMs?: ((phase: Phase) => number | undefined) | undefined;
  /** Called every second or so while nothing moves. */
  readonly onQuiet?: ((quietMs: number) => void) | undefined;
  /** For tests. */
  readonly clock?: Clock | undefined;
}

/** A limit in time that starts over with every progress of an exchange. */
export class Deadline extends Countdown {
  readonly #limits: Limits;
  readonly #url: URL;
  readonly #limitMs: ((phase: Phase) => number | undefined) | undefined;
  #phase: Phase = 'send';

  constructor(
    limits: Limits,
    url: URL,
    onExpired: (error: BitsTimeoutError) => void,
    { limitMs, onQuiet, clock }: DeadlineOptions = {},
  ) {
    super(() => onExpired(this.#error()), onQuiet, clock);
    this.#limits = limits;
    this.#url = url;
    this.#limitMs = limitMs;
  }

  /** Gives a phase its whole time, also when it runs already. */
  run(phase: Phase): void {
    this.#phase = phase;
    this.start(this.#limitMs?.(phase) ?? this.#configuredMs(phase));
  }

  #configuredMs(phase: Phase): number {
    const { stallTimeoutMs, answerTimeoutMs } = this.#limits;
    if (phase === 'send') return stallTimeoutMs;
    return phase === 'send-and-answer' ? stallTimeoutMs + answerTimeoutMs : answerTimeoutMs;
  }

  #error(): BitsTimeoutError {
    const { limitMs } = this;
    const { host } = this.#url;
    const limit = (options: string) => {
      const moreMs = limitMs - this.#configuredMs(this.#phase);
      if (moreMs === 0) return `${limitMs} ms (${options})`;
      return moreMs < 0
        ? `${Math.round(limitMs)} ms, much longer than before (at most ${options})`
        : `${Math.round(limitMs)} ms (${options}, and the time for what this machine still had to send)`;
    };
    // As the options of a job are called: nobody else gives these limits.
    return new BitsTimeoutError(
      {
        send: `No byte of the request moved towards ${host} for ${limit('timeouts.stallMs')}: check that it can be reached and that nothing in between holds the data back`,
        answer: `${host} did not answer within ${limit('timeouts.answerMs, or timeouts.replyMs for a reply')} after the whole request was sent: check the server's load, or raise the time if its application needs longer`,
        'send-and-answer': `${host} did not take the request and answer within ${limit('timeouts.stallMs + timeouts.answerMs')}: check that it can be reached, and its load`,
        login: `The login function gave neither credentials nor undefined for ${host} within ${limit('timeouts.answerMs')}`,
        'answer-body': `${host} sent nothing more of its answer for ${limit('timeouts.answerMs')}: check the server and the network to it`,
      }[this.#phase],
    );
  }
}
