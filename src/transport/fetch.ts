import { isHeaderValue } from '../common/header-fields.js';
import {
  BitsAbortError,
  BitsArgumentError,
  BitsError,
  BitsStateError,
  BitsTransportError,
} from '../errors.js';
import type { WireHeaders } from '../protocol/packets.js';
import { VERSION } from '../version.js';
import {
  answerHeaders,
  DRAIN_BYTES,
  DRAIN_MS,
  EMPTY_BODY,
  isWorthDraining,
} from './answer-head.js';
import { Deadline } from './deadline.js';
import { toTransportFailure } from './failure.js';
import { type RequestHead, requestHead } from './request-head.js';
import type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireBody,
  WireRequest,
  WireResponse,
} from './transport.js';

/** What this transport uses of a WHATWG `fetch`; Electron's `net.fetch` is one. */
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

export interface FetchTransportOptions {
  /** @default `bits-upload/<version>` */
  readonly userAgent?: string | undefined;
  /** Largest request body, for it is held in memory as a whole. @default 4194304 */
  readonly maxBodyBytes?: number | undefined;
}

const DEFAULT_MAX_BODY_BYTES = 4 * 1024 * 1024;

const BUFFERED: TransportLimitation = {
  code: 'fragment-buffered',
  message: 'fetch needs each fragment in memory as a whole, so that fragments are kept small',
};

const NO_PROGRESS: TransportLimitation = {
  code: 'progress-per-fragment',
  message:
    'fetch does not tell how much of a request is sent: progress moves once a fragment, and the time to send and the time to answer are counted as one',
};

const OTHER_HEADERS: TransportLimitation = {
  code: 'headers-not-exact',
  message:
    'fetch adds request headers of its own and may hold back some of the given ones, such as User-Agent and Accept-Encoding',
};

const LENGTH_ZERO: TransportLimitation = {
  code: 'content-length-zero-not-guaranteed',
  message:
    'this fetch may leave Content-Length: 0 out of BITS_POST requests, and IIS answers 400 to that: try it against the server, or use the default transport',
};

const LENGTH_ZERO_NODE: TransportLimitation = {
  code: 'content-length-zero-not-guaranteed',
  message:
    "Node's fetch leaves Content-Length: 0 out of BITS_POST requests, and IIS answers 400 to that: use the default transport where the server is IIS",
};

const RECONNECTS: TransportLimitation = {
  code: 'connection-per-request',
  message:
    "Node's fetch opens a new connection for every fragment: slower over TLS, and no NTLM; the default transport keeps one",
};

const REDIRECT_HIDDEN: TransportLimitation = {
  code: 'redirect-target-hidden',
  message:
    'a fetch as browsers have it hides where a redirect leads: give the URL that the server redirects to',
};

function limitationsOf(fetch: FetchFunction): readonly TransportLimitation[] {
  const versions = globalThis.process?.versions as NodeJS.ProcessVersions | undefined;
  const always = [BUFFERED, NO_PROGRESS, OTHER_HEADERS];
  // Electron's main process has both: Node's under the global name, and Chromium's as net.fetch.
  const isNodes = versions?.node !== undefined && fetch === globalThis.fetch;
  return isNodes
    ? [...always, LENGTH_ZERO_NODE, RECONNECTS]
    : [...always, LENGTH_ZERO, REDIRECT_HIDDEN];
}

function received(headers: Headers): WireHeaders {
  return answerHeaders([...headers].flat());
}

/** One request over fetch. */
class FetchExchange {
  readonly #head: RequestHead;
  readonly #body: WireBody | undefined;
  readonly #options: SendOptions;
  readonly #onEnd: (exchange: FetchExchange) => void;
  readonly #controller = new AbortController();
  readonly #deadline: Deadline;
  readonly #onAbort = () => this.cut(new BitsAbortError('The request was aborted'));
  /** Why the request was cut: what fetch throws then is of no use. */
  #reason: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(
    head: RequestHead,
    body: WireBody | undefined,
    options: SendOptions,
    onEnd: (exchange: FetchExchange) => void,
  ) {
    this.#head = head;
    this.#body = body;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#deadline = new Deadline(options, head.url, (error) => this.cut(error));
  }

  async run(fetch: FetchFunction): Promise<WireResponse> {
    this.#options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    try {
      const body = await this.#collect();
      this.#deadline.run('send-and-answer');
      const response = await this.#unlessCut(fetch(this.#head.url.href, this.#init(body)));
      this.#deadline.end();
      if (response.type === 'opaqueredirect' || response.status === 0) {
        throw new BitsTransportError(
          `${this.#head.url.host} redirects, and this fetch hides where to: give the URL that it redirects to`,
          { retryable: false },
        );
      }
      if (body.byteLength > 0) this.#options.onBytesSent?.(body.byteLength);
      return this.#answer(response);
    } catch (error) {
      this.#end();
      throw this.#reason ? this.#reason.error : error;
    }
  }

  /** Gives the request up, on the wire too, whatever fetch does about it. */
  cut(error: unknown): void {
    if (this.#reason) return;
    this.#reason = { error };
    this.#deadline.end();
    this.#controller.abort();
    this.#wake?.();
  }

  #init(body: Uint8Array<ArrayBuffer>): RequestInit {
    const { method, headers } = this.#head;
    const { 'Content-Length': length, ...others } = headers;
    const init = {
      method,
      // fetch takes the length from the body itself.
      headers: others,
      redirect: 'manual',
      credentials: 'omit',
      cache: 'no-store',
      signal: this.#controller.signal,
    } as const;
    // An empty body makes some fetches send Content-Length: 0, and none at all keeps GET legal.
    return length === undefined ? init : { ...init, body };
  }

  #answer(response: Response): WireResponse {
    const head = { status: response.status, headers: received(response.headers) };
    const reader = response.body?.getReader();
    if (reader === undefined) {
      this.#end();
      return { ...head, body: EMPTY_BODY };
    }
    if (this.#options.answerBody === 'stream') return { ...head, body: this.#stream(reader) };
    if (isWorthDraining(head.status, head.headers)) void this.#drain(reader);
    else this.#leave();
    return { ...head, body: EMPTY_BODY };
  }

  async *#stream(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncIterable<Uint8Array> {
    try {
      for (;;) {
        this.#deadline.run('answer-body');
        const { done, value } = await this.#unlessCut(reader.read());
        this.#deadline.end();
        if (done) return;
        yield value;
      }
    } catch (error) {
      throw this.#reason ? this.#reason.error : error;
    } finally {
      this.#leave();
    }
  }

  async #drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const timer = setTimeout(() => this.#leave(), DRAIN_MS);
    timer.unref?.();
    try {
      for (let bytes = 0; bytes <= DRAIN_BYTES; ) {
        const { done, value } = await this.#unlessCut(reader.read());
        if (done) break;
        bytes += value.byteLength;
      }
    } catch {
      // The answer is handed out: nobody asks how its body ended.
    } finally {
      clearTimeout(timer);
      this.#leave();
    }
  }

  /** Lets the connection go, be the body read to its end or not. */
  #leave(): void {
    this.#end();
    this.#controller.abort();
    this.#wake?.();
  }

  #end(): void {
    this.#deadline.end();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#onEnd(this);
  }

  /** A fetch that does not heed its signal must not hold the caller. */
  async #unlessCut<T>(work: Promise<T>): Promise<T> {
    const cut = new Promise<never>((_resolve, reject) => {
      this.#wake = () => reject(new BitsAbortError('The request was given up'));
      if (this.#controller.signal.aborted) this.#wake();
    });
    try {
      return await Promise.race([work, cut]);
    } catch (error) {
      throw toTransportFailure(error, this.#head.url.host);
    } finally {
      this.#wake = undefined;
    }
  }

  async #collect(): Promise<Uint8Array<ArrayBuffer>> {
    const { bodyBytes } = this.#head;
    const whole = new Uint8Array(bodyBytes);
    if (this.#body === undefined || bodyBytes === 0) return whole;
    let filled = 0;
    for await (const piece of this.#body.pieces()) {
      if (this.#reason) throw this.#reason.error;
      if (filled + piece.byteLength > bodyBytes) {
        throw new BitsError(
          'BITS_ERR_SOURCE',
          `The source gave more than the ${bodyBytes} bytes that it announced`,
        );
      }
      whole.set(piece, filled);
      filled += piece.byteLength;
    }
    if (this.#reason) throw this.#reason.error;
    if (filled < bodyBytes) {
      throw new BitsError(
        'BITS_ERR_SOURCE',
        `The source ended after ${filled} of the ${bodyBytes} bytes that it announced`,
      );
    }
    return whole;
  }
}

/** Requests over a `fetch`, within what it can do. */
class FetchTransport implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly maxBodyBytes: number;
  readonly #fetch: FetchFunction;
  readonly #userAgent: string;
  readonly #exchanges = new Set<FetchExchange>();
  #closed = false;

  constructor(fetch: FetchFunction, options: FetchTransportOptions) {
    this.#fetch = fetch;
    this.#userAgent = options.userAgent ?? `bits-upload/${VERSION}`;
    this.maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.limitations = limitationsOf(fetch);
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const head = requestHead(request, this.#userAgent);
    if (head.bodyBytes > this.maxBodyBytes) {
      throw new BitsArgumentError(
        `A body of ${head.bodyBytes} bytes is over this transport's maxBodyBytes of ${this.maxBodyBytes}`,
      );
    }
    if (this.#closed) throw new BitsStateError('The transport is closed');
    if (options.signal?.aborted) throw new BitsAbortError('The request was aborted');
    const exchange = new FetchExchange(head, request.body, options, (ended) => {
      this.#exchanges.delete(ended);
    });
    this.#exchanges.add(exchange);
    return exchange.run(this.#fetch);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const reason = new BitsAbortError('The transport was closed');
    for (const exchange of this.#exchanges) exchange.cut(reason);
  }
}

/**
 * Makes a transport of a WHATWG `fetch`, such as Electron's `net.fetch`.
 *
 * What that fetch cannot do is told in `limitations`; where there is a choice, the default transport
 * does more. `fetch` is called as a plain function: bind it if it needs a `this`. Besides what
 * {@link Transport.send} says, `send` rejects with BITS_ERR_ARGUMENT for a request that cannot be
 * sent as it is, with BITS_ERR_STATE after `close()`, and with the very error that the body's pieces
 * threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work.
 */
export function createFetchTransport(
  fetch: FetchFunction,
  options: FetchTransportOptions = {},
): Transport {
  if (typeof fetch !== 'function') throw new BitsArgumentError('fetch must be a function');
  const { maxBodyBytes, userAgent } = options;
  if (maxBodyBytes !== undefined && !(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes >= 1)) {
    throw new BitsArgumentError('maxBodyBytes must be a whole number of 1 or more');
  }
  if (userAgent !== undefined && !isHeaderValue(userAgent)) {
    throw new BitsArgumentError('userAgent holds a character that a header cannot carry');
  }
  return new FetchTransport(fetch, { ...options });
}
