import { isErrorLike } from '../common/error-like.js';
import { BitsArgumentError, BitsTransportError, isBitsError } from '../errors.js';
import { answerHeaders } from './answer-head.js';
import {
  type BufferedExchange,
  type BufferedOptions,
  BufferedTransport,
  type ClientAnswer,
} from './buffered.js';
import type { Transport, TransportLimitation } from './transport.js';

/** What this transport uses of a WHATWG `fetch`; Electron's `net.fetch` is one. */
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

/** Options of `createFetchTransport`. */
export interface FetchTransportOptions extends BufferedOptions {
  /**
   * What goes along with each request: cookies, and names and passwords that the network stack has.
   * With anything but `omit` the server cannot lead the upload to a host that is not in
   * `trustedHosts`. @default 'omit'
   */
  readonly credentials?: 'omit' | 'same-origin' | 'include' | undefined;
  /**
   * Whether that fetch may send a request once more by itself.
   * @default false for Node's own fetch, true for any other: Chromium's does, Electron's included
   */
  readonly mayResend?: boolean | undefined;
}

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

function limitationsOf(fetch: FetchFunction): readonly TransportLimitation[] {
  const always = [BUFFERED, NO_PROGRESS, OTHER_HEADERS];
  return isNodes(fetch)
    ? [...always, LENGTH_ZERO_NODE, RECONNECTS]
    : [...always, LENGTH_ZERO, REDIRECT_HIDDEN];
}

/**
 * The empty body that gets `Content-Length: 0` from every fetch that can send it.
 *
 * Browsers and undici ask a Blob for its size. Electron's `net.fetch` asks for no size but writes what
 * the body's stream gives, and sends no `Content-Length` when that is nothing at all, not even an
 * empty chunk.
 */
class EmptyBody extends Blob {
  override stream() {
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        controller.enqueue(new Uint8Array(0));
        controller.close();
      },
    });
  }
}

function hiddenRedirect({ host }: URL): BitsTransportError {
  return new BitsTransportError(
    `${host} redirects, and this fetch hides where to: give the URL that it redirects to`,
    { retryable: false },
  );
}

type RequestCredentials = NonNullable<FetchTransportOptions['credentials']>;

async function askFetch(
  fetch: FetchFunction,
  credentials: RequestCredentials,
  { method, url, headers, body, signal }: BufferedExchange,
): Promise<ClientAnswer> {
  const init = {
    method,
    headers,
    redirect: 'manual',
    credentials,
    cache: 'no-store',
    signal,
    ...(body !== undefined && { body: body.byteLength > 0 ? body : new EmptyBody([]) }),
  } as const;
  let response: Response;
  try {
    response = await fetch(url.href, init);
  } catch (error) {
    // So says Electron's net.fetch, as the only thing about a redirect.
    if (isErrorLike(error) && /Redirect was cancelled/.test(error.message)) {
      throw hiddenRedirect(url);
    }
    throw error;
  }
  try {
    const { status, type } = response;
    if (type === 'opaqueredirect' || status === 0) throw hiddenRedirect(url);
    const reader = response.body?.getReader();
    return {
      status,
      headers: answerHeaders([...response.headers].flat()),
      body: reader && { next: () => reader.read() as Promise<IteratorResult<Uint8Array>> },
    };
  } catch (cause) {
    if (isBitsError(cause)) throw cause;
    throw new BitsTransportError(
      `The request to ${url.host} failed: this fetch gave something that is not a Response`,
      { cause, retryable: false },
    );
  }
}

/**
 * Makes a transport of a WHATWG `fetch`, such as Electron's `net.fetch`.
 *
 * `limitations` tells what that fetch cannot do; where there is a choice, the default transport does
 * more, and in Electron `createElectronTransport` does. `fetch` is called as a plain function: bind it
 * if it needs a `this`, as a session's does. Besides what {@link Transport.send} says, `send` rejects
 * with BITS_ERR_ARGUMENT for a request that cannot be sent as it is, with BITS_ERR_STATE after
 * `close()`, and with the very error that the body's pieces threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work
 */
export function createFetchTransport(
  fetch: FetchFunction,
  options: FetchTransportOptions = {},
): Transport {
  if (typeof fetch !== 'function') throw new BitsArgumentError('fetch must be a function');
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('createFetchTransport takes an object of options beside the fetch');
  }
  const { mayResend, credentials = 'omit', ...buffered } = options;
  if (mayResend !== undefined && typeof mayResend !== 'boolean') {
    throw new BitsArgumentError('mayResend must be true or false');
  }
  if (!['omit', 'same-origin', 'include'].includes(credentials)) {
    throw new BitsArgumentError("credentials must be 'omit', 'same-origin' or 'include'");
  }
  return new BufferedTransport(
    {
      ask: (exchange) => askFetch(fetch, credentials, exchange),
      limitations: limitationsOf(fetch),
      mayResend: mayResend ?? !isNodes(fetch),
      hasCredentials: credentials !== 'omit',
    },
    buffered,
  );
}
