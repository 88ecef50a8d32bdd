import { onAbort, throwIfAborted, unlessAborted } from '../common/abort.js';
import { assertKnown } from '../common/check-options.js';
import { BitsAbortError, BitsArgumentError, type BitsError, BitsStateError } from '../errors.js';
import type { WireHeaders } from '../protocol/packets.js';
import { drain, EMPTY_BODY } from './answer-body.js';
import { DRAIN_MS, unreadBody } from './answer-head.js';
import { wrongLength } from './body-pump.js';
import { Deadline } from './deadline.js';
import { toTransportFailure } from './failure.js';
import { type RequestHead, requestHead, userAgentOf } from './request-head.js';
import type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireBody,
  WireRequest,
  WireResponse,
} from './transport.js';

/** An answer as a client hands it over. */
export interface ClientAnswer {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Absent when nothing is to be read. */
  readonly body: AsyncIterator<Uint8Array, unknown> | undefined;
}

/** What a client that takes whole bodies can do. */
export interface BufferedClient {
  readonly ask: (exchange: BufferedExchange) => Promise<ClientAnswer>;
  readonly limitations: readonly TransportLimitation[];
  readonly mayResend: boolean;
  readonly hasCredentials: boolean;
  /** What the client says about sending is older than this; in milliseconds. @default 0 */
  readonly reportDelayMs?: number;
}

export interface BufferedOptions {
  /** @default `bits-upload/<version>` */
  readonly userAgent?: string | undefined;
  /** Largest request body, for it is held in memory as a whole. @default 4194304 */
  readonly maxBodyBytes?: number | undefined;
}

const DEFAULT_MAX_BODY_BYTES = 4 * 1024 * 1024;

/** One request over a client that takes whole bodies. */
export class BufferedExchange {
  readonly method: string;
  readonly url: URL;
  /** Without the `Content-Length`, which the client takes from the body. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: no body, and no `Content-Length`. Empty: `Content-Length: 0`. */
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  /** Runs as `send-and-answer`; a client that sees more may say which phase it is. */
  readonly deadline: Deadline;
  readonly #client: BufferedClient;
  readonly #options: SendOptions;
  readonly #onEnd: (exchange: BufferedExchange) => void;
  /** Its reason is the error that the caller gets. */
  readonly #cut = new AbortController();
  readonly #listening: Disposable | undefined;
  #sentBytes = 0;

  constructor(
    client: BufferedClient,
    head: RequestHead,
    options: SendOptions,
    onEnd: (exchange: BufferedExchange) => void,
  ) {
    const { 'Content-Length': length, ...headers } = head.headers;
    this.method = head.method;
    this.url = head.url;
    this.headers = headers;
    this.body = length === undefined ? undefined : new Uint8Array(head.bodyBytes);
    this.#client = client;
    this.#options = options;
    this.#onEnd = onEnd;
    const { answerTimeoutMs } = options;
    const stallTimeoutMs = Math.max(options.stallTimeoutMs, client.reportDelayMs ?? 0);
    this.deadline = new Deadline({ stallTimeoutMs, answerTimeoutMs }, head.url, (error) =>
      this.cut(error),
    );
    this.#listening =
      options.signal &&
      onAbort(options.signal, () => this.cut(new BitsAbortError('The request was aborted')));
  }

  /** Aborts when the request is given up, and when its answer is read. */
  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  async run(body: WireBody | undefined): Promise<WireResponse> {
    try {
      const bytes = this.body ?? new Uint8Array(0);
      if (body && bytes.byteLength > 0) {
        await unlessAborted(this.#collect(body, bytes), this.signal);
      }
      this.deadline.run('send-and-answer');
      const answer = await this.#ask(() => this.#client.ask(this));
      this.deadline.end();
      this.sent(bytes.byteLength);
      return this.#handOver(answer);
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Gives the request up, on the wire too, whatever the client does about it. */
  cut(error: BitsError): void {
    this.deadline.end();
    this.#cut.abort(error);
  }

  /** Tells how many bytes of the body have been sent so far; may be told again. */
  sent(bytes: number): void {
    const moreBytes = bytes - this.#sentBytes;
    if (moreBytes <= 0) return;
    this.#sentBytes = bytes;
    this.#options.onBytesSent?.(moreBytes);
  }

  #handOver({ status, headers, body }: ClientAnswer): WireResponse {
    if (body !== undefined && this.#options.answerBody === 'stream') {
      return { status, headers, body: this.#chunks(body) };
    }
    if (body === undefined || unreadBody(status, headers) === 'much') this.#leave();
    else this.#drain(body);
    return { status, headers, body: EMPTY_BODY };
  }

  #drain(body: AsyncIterator<Uint8Array, unknown>): void {
    const timer = setTimeout(() => this.#leave(), DRAIN_MS);
    timer.unref?.();
    void drain(this.#chunks(body)).finally(() => clearTimeout(timer));
  }

  async *#chunks(body: AsyncIterator<Uint8Array, unknown>): AsyncIterable<Uint8Array> {
    try {
      for (;;) {
        if (this.#options.answerBody === 'stream') this.deadline.run('answer-body');
        const next = await this.#ask(() => body.next());
        this.deadline.end();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      this.#leave();
    }
  }

  /** Lets the connection go, whether the body was read to its end or not. */
  #leave(): void {
    this.deadline.end();
    this.#listening?.[Symbol.dispose]();
    this.#onEnd(this);
    this.#cut.abort();
  }

  /** Waits for what the client does, but not longer than the request lasts: not each one obeys. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this;
    try {
      // Within a function, for a client may throw instead of rejecting.
      return await unlessAborted((async () => work())(), signal);
    } catch (error) {
      throwIfAborted(signal);
      throw toTransportFailure(error, this.url.host);
    }
  }

  async #collect(body: WireBody, bytes: Uint8Array): Promise<void> {
    const { byteLength } = bytes;
    let filled = 0;
    for await (const piece of body.pieces()) {
      throwIfAborted(this.signal);
      const givenBytes = filled + piece.byteLength;
      if (givenBytes > byteLength) throw wrongLength(givenBytes, byteLength);
      bytes.set(piece, filled);
      filled = givenBytes;
    }
    if (filled < byteLength) throw wrongLength(filled, byteLength);
  }
}

/** Requests over a client that takes each body as a whole, such as a `fetch`. */
export class BufferedTransport implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly maxBodyBytes: number;
  readonly mayResend: boolean;
  readonly hasCredentials: boolean;
  readonly #client: BufferedClient;
  readonly #userAgent: string;
  readonly #exchanges = new Set<BufferedExchange>();
  #isClosed = false;

  /** @throws BITS_ERR_ARGUMENT for an option that cannot work */
  constructor(client: BufferedClient, options: BufferedOptions) {
    const { maxBodyBytes, userAgent, ...unknown } = options;
    assertKnown('', unknown, {});
    if (maxBodyBytes !== undefined && !(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes >= 1)) {
      throw new BitsArgumentError('maxBodyBytes must be a whole number of 1 or more');
    }
    this.#client = client;
    this.#userAgent = userAgentOf(userAgent);
    this.maxBodyBytes = maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.limitations = client.limitations;
    this.mayResend = client.mayResend;
    this.hasCredentials = client.hasCredentials;
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const head = requestHead(request, this.#userAgent);
    if (head.bodyBytes > this.maxBodyBytes) {
      throw new BitsArgumentError(
        `A body of ${head.bodyBytes} bytes is over this transport's maxBodyBytes of ${this.maxBodyBytes}`,
      );
    }
    if (this.#isClosed) throw new BitsStateError('The transport is closed');
    throwIfAborted(options.signal);
    const exchange = new BufferedExchange(this.#client, head, options, (ended) => {
      this.#exchanges.delete(ended);
    });
    this.#exchanges.add(exchange);
    return exchange.run(request.body);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const reason = new BitsAbortError('The transport was closed');
    for (const exchange of this.#exchanges) exchange.cut(reason);
  }
}
