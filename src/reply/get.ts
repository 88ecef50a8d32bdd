import { isUint8Array } from 'node:util/types';
import { abortError, onAbort, throwIfAborted, unlessAborted } from '../common/abort.js';
import { BitsTransportError, isBitsError } from '../errors.js';
import type { WireHeaders } from '../protocol/packets.js';
import { type ReplyAnswer, readReplyAnswer } from './answer.js';
import { type ReplyEntity, readEntity } from './entity.js';

export interface ReplyFetchRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ReplyResponse {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Its pieces stay valid. Aborting the request, or leaving the iteration, releases the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Sends one GET without following redirects.
 *
 * Rejects with a `BitsError` and never for a status. The signal cuts the request and the iteration
 * of the body, at once.
 */
export type ReplyFetch = (
  request: ReplyFetchRequest,
  signal: AbortSignal,
) => Promise<ReplyResponse>;

/** An answered GET, whose body is read by `next` and cut off by `leave`. */
export class ReplyGet {
  readonly answer: ReplyAnswer;
  readonly entity: ReplyEntity;
  /** How long the last piece took; the first one since the request. */
  waitedMs = 0;
  readonly #sentMs: number;
  readonly #body: AsyncIterable<Uint8Array>;
  readonly #cut: AbortController;
  readonly #signal: AbortSignal;
  readonly #listening: Disposable;
  #pieces: AsyncIterator<Uint8Array> | undefined;
  #ended = false;

  static async send(
    fetch: ReplyFetch,
    request: ReplyFetchRequest,
    signal: AbortSignal,
  ): Promise<ReplyGet> {
    throwIfAborted(signal);
    const sentMs = performance.now();
    const cut = new AbortController();
    const listening = onAbort(signal, () => cut.abort(signal.reason));
    try {
      const response = await unlessAborted(fetch(request, cut.signal), signal);
      return new ReplyGet(response, sentMs, cut, signal, listening);
    } catch (error) {
      listening[Symbol.dispose]();
      throw failure(error, signal);
    }
  }

  private constructor(
    { status, headers, body }: ReplyResponse,
    sentMs: number,
    cut: AbortController,
    signal: AbortSignal,
    listening: Disposable,
  ) {
    this.answer = readReplyAnswer({ status, headers }, Date.now());
    this.entity = readEntity(headers, Date.now());
    this.#body = body;
    this.#sentMs = sentMs;
    this.#cut = cut;
    this.#signal = signal;
    this.#listening = listening;
  }

  /** The next piece of the body; undefined after the last one. */
  async next(): Promise<Uint8Array | undefined> {
    const askedMs = this.#pieces === undefined ? this.#sentMs : performance.now();
    try {
      this.#pieces ??= this.#body[Symbol.asyncIterator]();
      const { done, value } = await unlessAborted(this.#pieces.next(), this.#signal);
      this.waitedMs = performance.now() - askedMs;
      if (!done && !isUint8Array(value)) throw new TypeError('a piece is not a Uint8Array');
      if (done) this.#ended = true;
      return done ? undefined : value;
    } catch (error) {
      throw failure(error, this.#signal);
    }
  }

  /** Drops the rest of the body and its connection, without waiting for anything. */
  leave(): void {
    this.#listening[Symbol.dispose]();
    if (this.#ended) return;
    this.#ended = true;
    // An iteration that did not begin cannot be left, and the piece that is awaited may never come.
    this.#cut.abort();
    void this.#pieces?.return?.().catch(() => {});
  }
}

function failure(error: unknown, signal: AbortSignal): Error {
  if (signal.aborted) return abortError(signal);
  if (isBitsError(error)) return error;
  return new BitsTransportError(
    'The connection that the reply came over failed: check the network and the server.',
    { cause: error },
  );
}
