import { onAbort } from '../common/abort.js';
import { isErrorLike } from '../common/error-like.js';
import { BitsArgumentError, BitsStateError } from '../errors.js';
import { answerHeaders } from './answer-head.js';
import {
  type BufferedExchange,
  type BufferedOptions,
  BufferedTransport,
  type ClientAnswer,
} from './buffered.js';
import { type ElectronAuthInfo, type ElectronLogin, LoginAnswers } from './electron-login.js';
import type { Transport, TransportLimitation } from './transport.js';

/** What is used of Electron's `net`. */
export interface ElectronNet {
  request(options: {
    method?: string;
    url?: string;
    headers?: Record<string, string | string[]>;
    redirect?: 'follow' | 'error' | 'manual';
    credentials?: 'include' | 'omit' | 'same-origin';
    cache?: 'no-store';
    // biome-ignore lint/suspicious/noExplicitAny: Electron's Session, which this package does not know
    session?: any;
  }): ElectronRequest;
}

/** What is used of Electron's `ClientRequest`. */
export interface ElectronRequest {
  on(event: 'response', listener: (response: ElectronResponse) => void): unknown;
  on(
    event: 'redirect',
    listener: (
      status: number,
      method: string,
      url: string,
      headers: Record<string, string[]>,
    ) => void,
  ): unknown;
  on(
    event: 'login',
    listener: (
      authInfo: ElectronAuthInfo,
      callback: (username?: string, password?: string) => void,
    ) => void,
  ): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  write(chunk: Buffer): void;
  end(): unknown;
  abort(): void;
  getUploadProgress(): { readonly started: boolean; readonly current: number };
}

/** What is used of Electron's `IncomingMessage`, which is a readable stream besides. */
export interface ElectronResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string | string[]>;
  /** Names and values in turn; early releases of Electron have none. */
  readonly rawHeaders?: string[];
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** Options of `createElectronTransport`. */
export interface ElectronTransportOptions extends BufferedOptions {
  /** `net` of `electron`, once the app is ready. */
  readonly net: ElectronNet;
  /** Whose proxy, certificates and credentials are used. @default Electron's default session */
  readonly session?: object | undefined;
  /**
   * Whether the session's cookies, client certificates, names and passwords, and Windows
   * authentication are used, for servers and proxies. The server then cannot lead the upload to a host
   * that is not in `trustedHosts`. @default true with `login`, else false
   */
  readonly useSessionCredentials?: boolean | undefined;
  /** Asked for a name and a password, by a server or a proxy. @default nobody is asked */
  readonly login?: ElectronLogin | undefined;
}

const LIMITATIONS: readonly TransportLimitation[] = [
  {
    code: 'fragment-buffered',
    message: "Electron's net needs each fragment in memory as a whole, so fragments are kept small",
  },
  {
    code: 'headers-not-exact',
    message:
      "Electron's net adds request headers of its own and drops Cookie, Date and Expect from the given ones",
  },
  {
    code: 'http2-possible',
    message:
      "Electron's net uses HTTP/2 over TLS where the server offers it, and BITS is defined for HTTP/1.1: if the server does not answer as expected, start the app with the switch disable-http2",
  },
];

/** How often it is looked how much has been sent; Chromium reports about every 100 ms. */
const LOOK_MS = 100;

/** Chromium may report the first bytes this late, or later when the machine is busy. */
const REPORT_DELAY_MS = 1_000;

/** One request over `net.request`. */
class ElectronExchange {
  readonly #request: ElectronRequest;
  readonly #exchange: BufferedExchange;
  #sentBytes = 0;
  #look: ReturnType<typeof setInterval> | undefined;
  #isAnswered = false;

  constructor(
    request: ElectronRequest,
    exchange: BufferedExchange,
    login: ElectronLogin | undefined,
  ) {
    this.#request = request;
    this.#exchange = exchange;
    onAbort(exchange.signal, () => this.#abort());
    if (login !== undefined) this.#listenForLogin(new LoginAnswers(login));
  }

  /** Sends the request; resolves with the head of its answer. */
  answer(): Promise<ClientAnswer> {
    const request = this.#request;
    const { body } = this.#exchange;
    return new Promise<ClientAnswer>((resolve, reject) => {
      // It stays: Electron may tell of an error at any time, after an abort too.
      request.on('error', reject);
      request.on('response', (response) => {
        response.on('error', () => {});
        this.#isAnswered = true;
        this.#rest();
        resolve(answerOf(response));
      });
      request.on('redirect', (status, _method, url, given) => {
        const headers = answerHeaders(fieldsOf({ location: url, ...given }));
        // Electron fails a request whose redirect is neither followed nor aborted within this call.
        request.abort();
        resolve({ status, headers, body: undefined });
      });
      this.#watch();
      // An empty chunk too: without any, Electron sends no Content-Length.
      if (body !== undefined) request.write(Buffer.from(body.buffer));
      request.end();
    });
  }

  /** Follows the body on its way. */
  #watch(): void {
    const { body, deadline, signal } = this.#exchange;
    if (this.#isAnswered || signal.aborted) return;
    if (body === undefined || body.byteLength === 0) {
      deadline.run('send-and-answer');
      return;
    }
    this.#sentBytes = 0;
    deadline.run('send');
    this.#look = setInterval(() => this.#lookAtProgress(body.byteLength), LOOK_MS);
    this.#look.unref();
  }

  #rest(): void {
    clearInterval(this.#look);
  }

  #lookAtProgress(byteLength: number): void {
    const { current } = this.#request.getUploadProgress();
    // Fewer than before are progress too: Chromium sends the body again.
    if (current === this.#sentBytes) return;
    this.#sentBytes = current;
    this.#exchange.sent(current);
    this.#exchange.deadline.run(current < byteLength ? 'send' : 'answer');
  }

  #listenForLogin(answers: LoginAnswers): void {
    const { deadline, signal } = this.#exchange;
    this.#request.on('login', (authInfo, callback) => {
      if (signal.aborted) return callback();
      this.#rest();
      deadline.run('login');
      answers.give(authInfo, callback, signal).then(
        () => this.#watch(),
        (error) => this.#exchange.cut(error),
      );
    });
  }

  #abort(): void {
    this.#rest();
    this.#request.abort();
    // Once more: Electron sends a request all the same that was aborted in the turn of its end().
    setImmediate(() => this.#request.abort());
  }
}

function answerOf(response: ElectronResponse): ClientAnswer {
  const { statusCode, rawHeaders = [], headers } = response;
  const stream = response as unknown as AsyncIterable<Uint8Array>;
  return {
    status: statusCode,
    // Chromium does not always tell them as they came.
    headers: answerHeaders(rawHeaders.length > 0 ? rawHeaders : fieldsOf(headers)),
    body: stream[Symbol.asyncIterator](),
  };
}

/** Names and values in turn. */
function fieldsOf(headers: Readonly<Record<string, string | readonly string[]>>): string[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().flatMap((value) => [name, value]),
  );
}

/** @throws BITS_ERR_STATE before the app is ready, BITS_ERR_ARGUMENT when Electron refuses it */
function openRequest(
  { net, session }: ElectronTransportOptions,
  credentials: 'include' | 'omit',
  { method, url, headers }: BufferedExchange,
): ElectronRequest {
  try {
    return net.request({
      method,
      url: url.href,
      headers: { ...headers },
      redirect: 'manual',
      credentials,
      cache: 'no-store',
      ...(session !== undefined && { session }),
    });
  } catch (cause) {
    if (isErrorLike(cause) && /\bready\b/.test(cause.message)) {
      throw new BitsStateError(
        "Electron's net cannot be used before the app is ready: wait for app.whenReady()",
      );
    }
    throw new BitsArgumentError(
      `Electron did not accept the request to ${url.host}: check the options net and session`,
      { cause },
    );
  }
}

function checkOptions(options: ElectronTransportOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('createElectronTransport takes an object of options, with net');
  }
  const { net, session, login, useSessionCredentials } = options;
  if (typeof net?.request !== 'function') {
    throw new BitsArgumentError("net must be Electron's: import { net } from 'electron'");
  }
  if (session !== undefined && (typeof session !== 'object' || session === null)) {
    throw new BitsArgumentError('session must be a Session of Electron');
  }
  if (login !== undefined && typeof login !== 'function') {
    throw new BitsArgumentError('login must be a function');
  }
  if (useSessionCredentials !== undefined && typeof useSessionCredentials !== 'boolean') {
    throw new BitsArgumentError('useSessionCredentials must be true or false');
  }
  if (login !== undefined && useSessionCredentials === false) {
    throw new BitsArgumentError(
      'login is never asked without the credentials of the session: leave useSessionCredentials out',
    );
  }
}

/**
 * Makes a transport of Electron's `net.request`, for the main process: with the proxy, the
 * certificates and, when asked for, the authentication of a session of Electron.
 *
 * It holds each request body in memory, and Chromium may send a request again by itself, so that
 * `onUncertainFragment: 'restart'` is refused. Besides what {@link Transport.send} says, `send` rejects
 * with BITS_ERR_STATE before the app is ready and after `close()`, with BITS_ERR_ARGUMENT for a request
 * that cannot be sent as it is, with BITS_ERR_AUTH when `login` fails, and with the very error that the
 * body's pieces threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work
 */
export function createElectronTransport(options: ElectronTransportOptions): Transport {
  checkOptions(options);
  const { net, session, login, useSessionCredentials, ...buffered } = options;
  const hasCredentials = useSessionCredentials ?? login !== undefined;
  const credentials = hasCredentials ? 'include' : 'omit';
  return new BufferedTransport(
    {
      ask: (exchange) => {
        const request = openRequest({ net, session }, credentials, exchange);
        return new ElectronExchange(request, exchange, login).answer();
      },
      limitations: LIMITATIONS,
      mayResend: true,
      hasCredentials,
      reportDelayMs: REPORT_DELAY_MS,
    },
    buffered,
  );
}
