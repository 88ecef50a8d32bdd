import { BitsError, BitsTimeoutError } from '../errors.js';

/** A line that is slower than this is not a line but a server that keeps us waiting on purpose. */
const MIN_BYTES_PER_SECOND = 256;

/** What may arrive in vain, beside a multiple of what is kept. */
const SPARE_BYTES = 64 * 1024 ** 2;
const MAX_BYTES_PER_KEPT_BYTE = 8;
/** An answer counts as so many bytes more, or single bytes could come for ever. */
const ANSWER_BYTES = 64 * 1024;

/**
 * What one download may cost in time and in bytes, whatever its server does.
 *
 * Time: the reply may come slower than 256 bytes per second for `limitMs` in all; bytes that come
 * faster give that time back. So a large reply on a slow line may take days, and a byte now and then
 * may not. Only waits that bytes put an end to are counted: for others there are time-outs.
 */
export class ReplyBudget {
  readonly #limitMs: number;
  #leftMs: number;
  #fetchedBytes = 0;
  #mostKeptBytes = 0;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#leftMs = limitMs;
  }

  /** The first bytes of an answer's body are there. */
  answered(): void {
    this.#fetchedBytes += ANSWER_BYTES;
  }

  /**
   * @param waitedMs since the request or the last piece
   * @throws BITS_ERR_TIMEOUT when bytes come too slowly
   */
  received(bytes: number, waitedMs: number): void {
    this.#fetchedBytes += bytes;
    // The machine may have slept through one long wait.
    const spentMs = Math.min(waitedMs, this.#limitMs / 2);
    const earnedMs = (bytes / MIN_BYTES_PER_SECOND) * 1000;
    this.#leftMs = Math.min(this.#leftMs - spentMs + earnedMs, this.#limitMs);
    if (this.#leftMs <= 0) throw tooSlow(this.#limitMs);
  }

  /** @throws BITS_ERR_REPLY when too much arrived for what is kept of it */
  kept(bytes: number): void {
    this.#mostKeptBytes = Math.max(this.#mostKeptBytes, bytes);
    const mostBytes = SPARE_BYTES + MAX_BYTES_PER_KEPT_BYTE * this.#mostKeptBytes;
    if (this.#fetchedBytes > mostBytes) throw tooMuch(this.#mostKeptBytes);
  }
}

function tooSlow(limitMs: number): BitsError {
  return new BitsTimeoutError(
    `The reply came slower than ${MIN_BYTES_PER_SECOND} bytes per second for ${limitMs} ms ` +
      '(timeouts.replyMs): check the server and the network to it. The session is left open, so ' +
      'that resuming fetches the reply without uploading again.',
    { retryable: false },
  );
}

function tooMuch(keptBytes: number): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    `The reply was sent again and again, and no more than ${keptBytes} bytes of it could be kept: ` +
      'check the server and the network to it. The session is left open.',
  );
}
