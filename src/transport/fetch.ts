import { onAbort, throwIfAborted, unlessAborted } from '../common/abort.js';
import { isErrorLike } from '../common/error-like.js';
import { isHeaderValue } from '../common/header-fields.js';
import {
  BitsAbortError,
  BitsArgumentError,
  BitsError,
  BitsStateError,
  BitsTransportError,
  isBitsError,
} from '../errors.js';
import { VERSION } from '../version.js';
import { EMPTY_BODY } from './answer-body.js';
import { answerHeaders, DRAIN_BYTES, DRAIN_MS, isWorthDraining } from './answer-head.js';
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
  /**
   * Whether that fetch may send a request once more by itself.
   * @default false for Node's own fetch, true for any other: Chromium's does, Electron's included
   */
  readonly mayResend?: boolean | undefined;
  /**
   * How to ask for `Content-Length: 0`: with an empty body of `bytes`, which Electron's `net.fetch`
   * drops, or with a `stream` of one empty chunk, which other fetches send in chunks.
   * @default 'stream' in Electron's main process with any fetch but the global one, else 'bytes'
   */
  readonly emptyBody?: 'bytes' | 'stream' | undefined;
}

const DEFAULT_MAX_BODY_BYTES = 4 * 1024 * 1024;

const BUFFERED: TransportLimitation = {
  code: 'fragment-buffered',
  message: 'fetch needs each fragment in memory as a whole, so fragments are kept small',
};

const NO_PROGRESS: TransportLimitation = {
  code: 'progress-per-fragment',
  message:
    'fetch does not tell how much of a request is sent: progress is reported once per fragment, and the time to send and the time to answer are counted as one',
};

const OTHER_HEADERS: TransportLimitation = {
  code: 'headers-not-exact',
  message:
    'fetch adds request headers of its own and may drop some of the given ones, such as User-Agent and Accept-Encoding',
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

/** Electron's main process has both: Node's under the global name, and Chromium's as `net.fetch`. */
function isNodes(fetch: FetchFunction): boolean {
  return globalThis.process?.versions?.node !== undefined && fetch === globalThis.fetch;
}

function isElectrons(fetch: FetchFunction): boolean {
  return globalThis.process?.versions?.electron !== undefined && !isNodes(fetch);
}

function limitationsOf(fetch: FetchFunction): readonly TransportLimitation[] {
  const always = [BUFFERED, NO_PROGRESS, OTHER_HEADERS];
  return isNodes(fetch)
    ? [...always, LENGTH_ZERO_NODE, RECONNECTS]
    : [...always, LENGTH_ZERO, REDIRECT_HIDDEN];
}

function oneEmptyChunk(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new Uint8Array(0));
      controller.close();
    },
  });
}

function hiddenRedirect({ host }: URL): BitsTransportError {
  return new BitsTransportError(
    `${host} redirects, and this fetch hides where to: give the URL that it redirects to`,
    { retryable: false },
  );
}

interface FetchMeans {
  readonly fetch: FetchFunction;
  readonly emptyBody: 'bytes' | 'stream';
}

/** One request over a fetch. */
class FetchExchange {
  readonly #means: FetchMeans;
  readonly #head: RequestHead;
  readonly #options: SendOptions;
  readonly #onEnd: (exchange: FetchExchange) => void;
  /** Its reason is the error that the caller gets. */
  readonly #cut = new AbortController();
  readonly #deadline: Deadline;
  readonly #listening: Disposable | undefined;

  constructor(
    means: FetchMeans,
    head: RequestHead,
    options: SendOptions,
    onEnd: (exchange: FetchExchange) => void,
  ) {
    this.#means = means;
    this.#head = head;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#deadline = new Deadline(options, head.url, (error) => this.cut(error));
    this.#listening =
      options.signal &&
      onAbort(options.signal, () => this.cut(new BitsAbortError('The request was aborted')));
  }

  async run(body: WireBody | undefined): Promise<WireResponse> {
    const { href } = this.#head.url;
    try {
      const bytes = await unlessAborted(this.#collect(body), this.#cut.signal);
      this.#deadline.run('send-and-answer');
      const response = await this.#ask(() => this.#means.fetch(href, this.#init(bytes)));
      this.#deadline.end();
      if (bytes.byteLength > 0) this.#options.onBytesSent?.(bytes.byteLength);
      return this.#answer(response);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** Gives the request up, on the wire too, whatever fetch does about it. */
  cut(error: BitsError): void {
    this.#deadline.end();
    this.#cut.abort(error);
  }

  #answer(response: Response): WireResponse {
    const { status, headers, reader } = this.#opened(response);
    if (reader === undefined) this.#end();
    else if (this.#options.answerBody === 'stream') {
      return { status, headers, body: this.#stream(reader) };
    } else if (isWorthDraining(status, headers)) void this.#drain(reader);
    else this.#leave();
    return { status, headers, body: EMPTY_BODY };
  }

  #opened(response: Response) {
    const { url } = this.#head;
    try {
      const { status, type } = response;
      if (type === 'opaqueredirect' || status === 0) throw hiddenRedirect(url);
      const headers = answerHeaders([...response.headers].flat());
      return { status, headers, reader: response.body?.getReader() };
    } catch (cause) {
      if (isBitsError(cause)) throw cause;
      throw new BitsTransportError(
        `The request to ${url.host} failed: this fetch gave something that is not a Response`,
        { cause, retryable: false },
      );
    }
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
      signal: this.#cut.signal,
    } as const;
    // With a GET no body at all is legal.
    if (length === undefined) return init;
    if (body.byteLength > 0 || this.#means.emptyBody === 'bytes') return { ...init, body };
    return { ...init, body: oneEmptyChunk(), duplex: 'half' } as RequestInit;
  }

  async *#stream(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncIterable<Uint8Array> {
    try {
      for (;;) {
        this.#deadline.run('answer-body');
        const { done, value } = await this.#ask(() => reader.read());
        this.#deadline.end();
        if (done) return;
        yield value;
      }
    } finally {
      this.#leave();
    }
  }

  async #drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const timer = setTimeout(() => this.#leave(), DRAIN_MS);
    timer.unref?.();
    try {
      for (let bytes = 0; bytes <= DRAIN_BYTES; ) {
        const { done, value } = await this.#ask(() => reader.read());
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

  /** Lets the connection go, whether the body was read to its end or not. */
  #leave(): void {
    this.#end();
    this.#cut.abort();
  }

  #end(): void {
    this.#deadline.end();
    this.#listening?.[Symbol.dispose]();
    this.#onEnd(this);
  }

  /** Waits for what fetch does, but not longer than the request lasts: not every fetch obeys. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#cut;
    try {
      // Within a function, for a fetch may throw instead of rejecting.
      return await unlessAborted((async () => work())(), signal);
    } catch (error) {
      throwIfAborted(signal);
      // So says Electron's net.fetch, as the only thing about a redirect.
      if (isErrorLike(error) && /Redirect was cancelled/.test(error.message)) {
        throw hiddenRedirect(this.#head.url);
      }
      throw toTransportFailure(error, this.#head.url.host);
    }
  }

  async #collect(body: WireBody | undefined): Promise<Uint8Array<ArrayBuffer>> {
    const { bodyBytes } = this.#head;
    const whole = new Uint8Array(bodyBytes);
    if (body === undefined || bodyBytes === 0) return whole;
    let filled = 0;
    for await (const piece of body.pieces()) {
      throwIfAborted(this.#cut.signal);
      if (filled + piece.byteLength > bodyBytes) {
        throw new BitsError(
          'BITS_ERR_SOURCE',
          `The source gave more than the ${bodyBytes} bytes that it announced`,
        );
      }
      whole.set(piece, filled);
      filled += piece.byteLength;
    }
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
  readonly mayResend: boolean;
  readonly #means: FetchMeans;
  readonly #userAgent: string;
  readonly #exchanges = new Set<FetchExchange>();
  #isClosed = false;

  constructor(fetch: FetchFunction, options: FetchTransportOptions) {
    const emptyBody = options.emptyBody ?? (isElectrons(fetch) ? 'stream' : 'bytes');
    this.#means = { fetch, emptyBody };
    this.#userAgent = options.userAgent ?? `bits-upload/${VERSION}`;
    this.maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.mayResend = options.mayResend ?? !isNodes(fetch);
    this.limitations = limitationsOf(fetch);
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
    const exchange = new FetchExchange(this.#means, head, options, (ended) => {
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

/**
 * Makes a transport of a WHATWG `fetch`, such as Electron's `net.fetch`.
 *
 * `limitations` tells what that fetch cannot do; where there is a choice, the default transport does
 * more. `fetch` is called as a plain function: bind it if it needs a `this`. Besides what
 * {@link Transport.send} says, `send` rejects with BITS_ERR_ARGUMENT for a request that cannot be
 * sent as it is, with BITS_ERR_STATE after `close()`, and with the very error that the body's pieces
 * threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work
 */
export function createFetchTransport(
  fetch: FetchFunction,
  options: FetchTransportOptions = {},
): Transport {
  if (typeof fetch !== 'function') throw new BitsArgumentError('fetch must be a function');
  const { maxBodyBytes, userAgent, mayResend, emptyBody } = options;
  if (maxBodyBytes !== undefined && !(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes >= 1)) {
    throw new BitsArgumentError('maxBodyBytes must be a whole number of 1 or more');
  }
  if (userAgent !== undefined && !isHeaderValue(userAgent)) {
    throw new BitsArgumentError('userAgent holds a character that a header cannot carry');
  }
  if (mayResend !== undefined && typeof mayResend !== 'boolean') {
    throw new BitsArgumentError('mayResend must be true or false');
  }
  if (emptyBody !== undefined && emptyBody !== 'bytes' && emptyBody !== 'stream') {
    throw new BitsArgumentError("emptyBody must be 'bytes' or 'stream'");
  }
  return new FetchTransport(fetch, { ...options });
}
