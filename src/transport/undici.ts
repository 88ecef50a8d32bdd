import type { Dispatcher } from 'undici';
import { BitsAbortError, BitsArgumentError, BitsStateError } from '../errors.js';
import { VERSION } from '../version.js';
import { Connector, type TlsOptions } from './connector.js';
import { Exchange, type ExchangePlace } from './exchange.js';
import { withLegacyNames } from './legacy-handler.js';
import { isHeaderValue, requestHead } from './request-head.js';
import type { SendOptions, Transport, TransportLimitation, WireRequest } from './transport.js';

export type { TlsOptions };

export interface UndiciTransportOptions {
  /** @default `bits-upload/<version>` */
  readonly userAgent?: string | undefined;
  /** Sockets per host; one is enough, for a BITS session has one request outstanding. @default 1 */
  readonly connections?: number | undefined;
  /** Authorities to trust, and a client certificate. */
  readonly tls?: TlsOptions | undefined;
  /** Longest time for a connection, TLS included; `stallTimeoutMs` counts too. @default 30000 */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * A dispatcher of the caller's own, such as undici's `MockAgent`: used as it is and never closed.
   *
   * The other options but `userAgent` do not apply then.
   */
  readonly dispatcher?: Pick<Dispatcher, 'dispatch'> | undefined;
}

/** Both sides of an idle connection are kept this long: a pause of the source should not cost it. */
const KEEP_ALIVE_MS = 120_000;

const DEFAULT_CONNECT_TIMEOUT_MS = 30_000;

const FOREIGN_DISPATCHER: TransportLimitation = {
  code: 'content-length-zero-not-guaranteed',
  message:
    "undici leaves Content-Length: 0 out of BITS_POST requests unless this package makes its connections, and IIS answers 400 to that: use the transport's own options instead of a dispatcher where the server is real",
};

interface OwnDispatcher {
  readonly agent: Dispatcher;
  readonly connector: Connector;
}

/** The default transport: HTTP/1.1 over undici, with what BITS needs on the wire put right. */
class UndiciTransport implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly #options: UndiciTransportOptions;
  readonly #userAgent: string;
  readonly #exchanges = new Set<Exchange>();
  #own: Promise<OwnDispatcher> | undefined;
  #closed = false;

  constructor(options: UndiciTransportOptions) {
    this.#options = options;
    this.#userAgent = options.userAgent ?? `bits-upload/${VERSION}`;
    this.limitations = options.dispatcher === undefined ? [] : [FOREIGN_DISPATCHER];
  }

  async send(request: WireRequest, options: SendOptions) {
    const head = requestHead(request, this.#userAgent);
    if (options.signal?.aborted) throw new BitsAbortError('The request was aborted');
    const place = await this.#place();
    if (this.#closed) throw new BitsStateError('The transport is closed');
    for (const other of this.#exchanges) other.hurry();
    const exchange = new Exchange(head, request.body, options, place);
    this.#exchanges.add(exchange);
    exchange.start();
    return exchange.answer;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const reason = new BitsAbortError('The transport was closed');
    for (const exchange of this.#exchanges) exchange.cut(reason);
    const own = await this.#own;
    own?.connector.cut();
    await own?.agent.destroy();
  }

  async #place(): Promise<ExchangePlace> {
    const onEnd = (exchange: Exchange) => void this.#exchanges.delete(exchange);
    const { dispatcher } = this.#options;
    if (dispatcher !== undefined) {
      return {
        dispatch: (request, exchange) => dispatcher.dispatch(request, withLegacyNames(exchange)),
        watches: false,
        onUnconnected: () => {},
        onEnd,
      };
    }
    if (this.#closed) throw new BitsStateError('The transport is closed');
    this.#own ??= this.#makeDispatcher();
    const { agent, connector } = await this.#own;
    return {
      dispatch: (request, exchange) => agent.dispatch(request, exchange),
      watches: true,
      onUnconnected: ({ origin }) => {
        const others = [...this.#exchanges].some((exchange) => exchange.origin === origin);
        if (!others) connector.cut(origin);
      },
      onEnd,
    };
  }

  async #makeDispatcher(): Promise<OwnDispatcher> {
    // Loaded at the first request: whoever only imports this package does not wait for it.
    const { Agent, buildConnector } = await import('undici');
    const { tls, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, connections = 1 } = this.#options;
    const connector = new Connector(buildConnector, tls, connectTimeoutMs);
    const agent = new Agent({
      connect: connector.connect,
      connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return { agent, connector };
  }
}

function checkAtLeast(name: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value < 2 ** 31)) {
    throw new BitsArgumentError(`${name} must be a whole number of 1 or more`);
  }
}

/**
 * Makes the default transport; no socket is opened before the first request.
 *
 * Besides what {@link Transport.send} says, `send` rejects with BITS_ERR_ARGUMENT for a request that
 * cannot be sent as it is, with BITS_ERR_STATE after `close()`, and with the very error that the
 * body's pieces threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work.
 */
export function createUndiciTransport(options: UndiciTransportOptions = {}): Transport {
  checkAtLeast('connections', options.connections);
  checkAtLeast('connectTimeoutMs', options.connectTimeoutMs);
  if (options.userAgent !== undefined && !isHeaderValue(options.userAgent)) {
    throw new BitsArgumentError('userAgent holds a character that a header cannot carry');
  }
  return new UndiciTransport({ ...options });
}
