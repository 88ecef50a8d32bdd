import type { buildConnector, Dispatcher } from 'undici';
import { BitsAbortError, BitsArgumentError, BitsStateError } from '../errors.js';
import { VERSION } from '../version.js';
import { Connector } from './connector.js';
import { Exchange, type ExchangePlace } from './exchange.js';
import { withLegacyNames } from './legacy-handler.js';
import { loadUndici } from './load-undici.js';
import { type PacketOptions, withSignal } from './packet-options.js';
import { Pools } from './pools.js';
import { Forwarding } from './proxy/proxy-auth.js';
import { NO_PROXY, type ProxyChoice, proxyChoice } from './proxy/proxy-choice.js';
import type { ProxyOption, ProxyServer } from './proxy/proxy-server.js';
import { isHeaderValue, type RequestHead, requestHead } from './request-head.js';
import { type ResolvedTls, resolveTls, type TlsOptions } from './tls-options.js';
import type {
  Transport,
  TransportLimitation,
  WireConnection,
  WireRequest,
  WireResponse,
} from './transport.js';

export type { TlsOptions };

export interface UndiciTransportOptions {
  /** @default `bits-upload/<version>` */
  readonly userAgent?: string | undefined;
  /** Sockets per host; one is enough, for a BITS session has one request outstanding. @default 1 */
  readonly connections?: number | undefined;
  /** Authorities to trust, and a client certificate. */
  readonly tls?: TlsOptions | undefined;
  /**
   * Where requests go through; `false`: nowhere.
   * @default `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` of the environment
   */
  readonly proxy?: ProxyOption | undefined;
  /** Hosts that are reached without a proxy, written as in `NO_PROXY`. @default `NO_PROXY` */
  readonly noProxy?: string | undefined;
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
  readonly pools: Pools;
  /** Of proxies that are sent whole requests, by their host. */
  readonly forwarders: Map<string, Pools>;
  readonly makeForwarder: (proxy: ProxyServer) => Pools;
  readonly connector: Connector;
}

/** The default transport: HTTP/1.1 over undici, with what BITS needs on the wire put right. */
export class UndiciTransport implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly #options: UndiciTransportOptions;
  readonly #userAgent: string;
  readonly #tls: ResolvedTls;
  readonly #proxies: ProxyChoice;
  readonly #exchanges = new Set<Exchange>();
  readonly #origins = new Set<string>();
  #own: Promise<OwnDispatcher> | undefined;
  /** Of requests that no proxy is sent whole. */
  #directPlace: ExchangePlace | undefined;
  #latestConnection: WireConnection | undefined;
  #closed = false;

  constructor(options: UndiciTransportOptions) {
    this.#options = options;
    this.#userAgent = options.userAgent ?? `bits-upload/${VERSION}`;
    this.#tls = resolveTls(options.tls);
    const isForeign = options.dispatcher !== undefined;
    const proxies = isForeign ? NO_PROXY : proxyChoice(options.proxy, options.noProxy);
    this.#proxies = proxies;
    this.limitations = isForeign
      ? [FOREIGN_DISPATCHER]
      : [...this.#tls.limitations, ...proxies.limitations];
  }

  /**
   * Whether there is one open connection, and nothing on the wire: no request, no rest of an answer.
   *
   * False after requests to several hosts, for then there may be many.
   */
  get hasIdleConnection(): boolean {
    const isIdle = this.#exchanges.size === 0 && this.#latestConnection?.isOpen === true;
    return isIdle && this.#origins.size === 1;
  }

  send(request: WireRequest, options: PacketOptions): Promise<WireResponse> {
    const proxy = this.#forwardingProxy(request.url);
    if (proxy === undefined) {
      // Nearly all requests, and the turns of an asynchronous function show where they are short.
      const place = this.#directPlace;
      if (place === undefined) return this.#send(request, options, undefined);
      try {
        const head = checkedHead(request, options, this.#userAgent);
        return this.#exchange(head, request, options, place);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#sendWhole(request, withSignal(options), proxy);
  }

  /** With its URL in absolute form, to a proxy that may want to know who asks. */
  async #sendWhole(
    request: WireRequest,
    options: PacketOptions,
    proxy: ProxyServer,
  ): Promise<WireResponse> {
    requestHead(request, this.#userAgent);
    const { connector } = await this.#ownDispatcher();
    const forwarding = new Forwarding(connector.authFor(proxy), (attempt, itsOptions) =>
      this.#send(attempt, itsOptions, proxy),
    );
    return forwarding.send(request, options);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const reason = new BitsAbortError('The transport was closed');
    for (const exchange of this.#exchanges) exchange.cut(reason);
    const own = await this.#own;
    own?.connector.cut();
    await own?.pools.destroy();
    for (const forwarder of own?.forwarders.values() ?? []) await forwarder.destroy();
  }

  /** The proxy that is sent the whole request, and not asked for a tunnel. */
  #forwardingProxy(url: URL): ProxyServer | undefined {
    if (this.#proxies === NO_PROXY || url.protocol !== 'http:') return undefined;
    const proxy = this.#proxies.proxyFor(url);
    return proxy?.kind === 'http' && !proxy.tunnel ? proxy : undefined;
  }

  async #send(
    request: WireRequest,
    options: PacketOptions,
    forwarder: ProxyServer | undefined,
  ): Promise<WireResponse> {
    const head = checkedHead(request, options, this.#userAgent);
    const place = await this.#place(forwarder);
    if (forwarder === undefined) this.#directPlace = place;
    return this.#exchange(head, request, options, place);
  }

  #exchange(
    head: RequestHead,
    request: WireRequest,
    options: PacketOptions,
    place: ExchangePlace,
  ): Promise<WireResponse> {
    if (this.#closed) throw new BitsStateError('The transport is closed');
    for (const other of this.#exchanges) other.hurry();
    const exchange = new Exchange(head, request.body, options, place);
    this.#exchanges.add(exchange);
    this.#origins.add(exchange.origin);
    exchange.start();
    return exchange.answer;
  }

  async #place(forwarder: ProxyServer | undefined): Promise<ExchangePlace> {
    const onEnd = (exchange: Exchange) => {
      this.#exchanges.delete(exchange);
      this.#latestConnection = exchange.connection ?? this.#latestConnection;
    };
    const { dispatcher } = this.#options;
    if (dispatcher !== undefined) {
      return {
        dispatch: (request, exchange) => dispatcher.dispatch(request, withLegacyNames(exchange)),
        watches: false,
        onUnconnected: () => {},
        onEnd,
      };
    }
    const own = await this.#ownDispatcher();
    return {
      dispatch:
        forwarder === undefined
          ? (request, exchange) => own.pools.dispatch(request, exchange)
          : (request, exchange) => forward(own, forwarder, request, exchange),
      watches: true,
      onUnconnected: (exchange) => {
        const destination = this.#destination(exchange.origin);
        const others = [...this.#exchanges].some(
          ({ origin }) => this.#destination(origin) === destination,
        );
        if (!others) own.connector.cut(destination);
      },
      onEnd,
    };
  }

  /** What the connections of an origin lead to. */
  #destination(origin: string): string {
    return this.#forwardingProxy(new URL(origin))?.host ?? origin;
  }

  async #ownDispatcher(): Promise<OwnDispatcher> {
    if (this.#closed) throw new BitsStateError('The transport is closed');
    this.#own ??= this.#makeDispatcher().catch((error) => {
      // Not for ever: a lack of descriptors passes.
      this.#own = undefined;
      throw error;
    });
    return this.#own;
  }

  async #makeDispatcher(): Promise<OwnDispatcher> {
    // Loaded at the first request: whoever only imports this package does not wait for it.
    const { Pool, buildConnector } = await loadUndici();
    const { connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, connections = 1 } = this.#options;
    const connector = new Connector(buildConnector, {
      tls: this.#tls,
      timeoutMs: connectTimeoutMs,
      userAgent: this.#userAgent,
      proxyFor: this.#proxies.proxyFor,
    });
    const settings = {
      connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
    };
    const poolsWith = (connect: buildConnector.connector) =>
      new Pools((origin) => new Pool(origin, { ...settings, connect }));
    return {
      pools: poolsWith(connector.connect),
      forwarders: new Map(),
      makeForwarder: (proxy) => poolsWith(connector.connectTo(proxy)),
      connector,
    };
  }
}

/** @throws BITS_ERR_ABORTED, besides what {@link requestHead} throws */
function checkedHead(request: WireRequest, options: PacketOptions, userAgent: string): RequestHead {
  const head = requestHead(request, userAgent);
  if (options.signal?.aborted || options.abortSwitch?.aborted) {
    throw new BitsAbortError('The request was aborted');
  }
  return head;
}

/** Sends a proxy the request with its URL in absolute form (RFC 9112 §3.2.2). */
function forward(
  own: OwnDispatcher,
  proxy: ProxyServer,
  request: Dispatcher.DispatchOptions,
  exchange: Exchange,
): void {
  let pools = own.forwarders.get(proxy.host);
  if (pools === undefined) {
    pools = own.makeForwarder(proxy);
    own.forwarders.set(proxy.host, pools);
  }
  const target = new URL(String(request.origin));
  const options = {
    ...request,
    origin: `${proxy.isSecure ? 'https' : 'http'}://${proxy.host}`,
    path: `${target.origin}${request.path}`,
    headers: { Host: target.host, ...(request.headers as Record<string, string>) },
    // undici would take the name in Host for that of the proxy, and a new one for a new proxy.
    servername: proxy.hostname,
  };
  pools.dispatch(options, exchange);
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
  if (options.noProxy !== undefined && typeof options.noProxy !== 'string') {
    throw new BitsArgumentError('noProxy must be a text as NO_PROXY holds it');
  }
  return new UndiciTransport({ ...options });
}
