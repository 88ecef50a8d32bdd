import type { Socket } from 'node:net';
import { throwIfAborted } from '../common/abort.js';
import { assertKnown } from '../common/check-options.js';
import { BitsAbortError, BitsArgumentError, BitsStateError } from '../errors.js';
import { sendProtected } from './auth/authenticator.js';
import { Connection } from './connection.js';
import { Connector } from './connector.js';
import { Exchange } from './exchange.js';
import { toTransportFailure } from './failure.js';
import { Line } from './line.js';
import { loadUndici } from './load-undici.js';
import { type ProxyChoice, proxyChoice } from './proxy/proxy-choice.js';
import type { ProxyOption, ProxyServer } from './proxy/proxy-server.js';
import { requestHead, userAgentOf } from './request-head.js';
import { resolveTls, type TlsOptions } from './tls-options.js';
import type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireRequest,
  WireResponse,
} from './transport.js';

/** Options of `createUndiciTransport`. */
export interface UndiciTransportOptions {
  /** Sent as `User-Agent`. @default `bits-upload/<version>` */
  readonly userAgent?: string | undefined;
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
}

const OPTION_NAMES: Readonly<Record<keyof UndiciTransportOptions, true>> = {
  userAgent: true,
  tls: true,
  proxy: true,
  noProxy: true,
  connectTimeoutMs: true,
};

const DEFAULT_CONNECT_TIMEOUT_MS = 30_000;

/** Where a request goes first. */
interface Destination {
  /** The same for requests that may use each other's connections. */
  readonly key: string;
  readonly connect: (signal: AbortSignal) => Promise<Socket>;
  /** The request-target. */
  readonly target: string;
}

/**
 * The default transport: HTTP/1.1 over undici, with what BITS needs on the wire put right.
 *
 * A request uses an idle connection to its destination, or opens one. So one request after the other
 * goes over one connection, and requests at the same time have one each.
 */
export class UndiciTransport implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly hasCredentials: boolean;
  readonly #userAgent: string;
  readonly #proxies: ProxyChoice;
  readonly #connector: Connector;
  readonly #connections = new Set<Connection>();
  readonly #exchanges = new Set<Exchange>();
  /** By destination. */
  readonly #lines = new Map<string, Line>();
  #isClosed = false;

  constructor(options: UndiciTransportOptions) {
    const tls = resolveTls(options.tls);
    this.#userAgent = userAgentOf(options.userAgent);
    this.#proxies = proxyChoice(options.proxy, options.noProxy);
    this.limitations = [...tls.limitations, ...this.#proxies.limitations];
    this.hasCredentials = options.tls?.cert !== undefined || options.tls?.pfx !== undefined;
    this.#connector = new Connector({
      tls,
      timeoutMs: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      userAgent: this.#userAgent,
      proxyFor: this.#proxies.proxyFor,
    });
  }

  /** Whether there is just one connection, and nothing on it: no request, no rest of an answer. */
  get hasIdleConnection(): boolean {
    const [connection, ...others] = this.#connections;
    return this.#exchanges.size === 0 && others.length === 0 && connection?.isIdle === true;
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const { url } = request;
    const proxy = this.#forwardingProxy(url);
    if (proxy !== undefined) return this.#forward(proxy, request, options);
    return this.#exchange(request, options, {
      key: url.origin,
      connect: (signal) => this.#connector.connect(url, signal),
      target: `${url.pathname}${url.search}`,
    });
  }

  dropConnections(): void {
    for (const connection of this.#connections) if (connection.isIdle) void connection.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const reason = new BitsAbortError('The transport was closed');
    for (const exchange of this.#exchanges) exchange.cut(reason);
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }

  /** The proxy that is sent the whole request, rather than asked for a tunnel. */
  #forwardingProxy(url: URL): ProxyServer | undefined {
    if (url.protocol !== 'http:') return undefined;
    const proxy = this.#proxies.proxyFor(url);
    return proxy?.kind === 'http' && !proxy.tunnel ? proxy : undefined;
  }

  /** Authenticates to the proxy when it answers 407. */
  #forward(proxy: ProxyServer, request: WireRequest, options: SendOptions): Promise<WireResponse> {
    // Checked here too, before the proxy is asked who may use it.
    requestHead(request, this.#userAgent);
    const { pathname, search, origin } = request.url;
    const destination: Destination = {
      key: `through ${proxy.host}`,
      connect: (signal) => this.#connector.connectTo(proxy, signal),
      // In absolute form (RFC 9112 §3.2.2).
      target: `${origin}${pathname}${search}`,
    };
    const space = this.#connector.spaceOf(proxy);
    return sendProtected(space, request.url.href, request, options, {
      send: async (attempt, itsOptions) => this.#exchange(attempt, itsOptions, destination),
    });
  }

  #exchange(
    request: WireRequest,
    options: SendOptions,
    destination: Destination,
  ): Promise<WireResponse> {
    const head = requestHead(request, this.#userAgent);
    throwIfAborted(options.signal);
    if (this.#isClosed) throw new BitsStateError('The transport is closed');
    const line = this.#lines.get(destination.key) ?? new Line();
    this.#lines.set(destination.key, line);
    const exchange = new Exchange(head, request.body, options, {
      line,
      onEnd: () => {
        this.#exchanges.delete(exchange);
        // A challenge is answered over the same connection, whatever that is worth (NTLM).
        if (!line.isReusable && !exchange.isChallenged) void exchange.connection?.close();
      },
    });
    this.#exchanges.add(exchange);
    this.#sendOver(exchange, destination).catch((error) => exchange.cut(error));
    return exchange.answer;
  }

  async #sendOver(exchange: Exchange, destination: Destination): Promise<void> {
    await exchange.begin();
    const { key, target } = destination;
    for (;;) {
      const idle = [...this.#connections].find((one) => one.destination === key && one.isIdle);
      if (idle !== undefined) {
        if (await exchange.sendOver(idle, target)) return;
        continue;
      }
      const draining = [...this.#exchanges].find(
        (one) => one.isDraining && one.connection?.destination === key,
      );
      if (draining === undefined) break;
      await draining.hurry();
    }
    if (exchange.isEnded) return;
    await exchange.sendOver(await this.#open(destination, exchange.signal), target);
  }

  async #open({ key, connect }: Destination, signal: AbortSignal): Promise<Connection> {
    // Loaded at the first request: whoever only imports this package does not wait for it.
    const UndiciClient = await loadUndici().catch((error) => {
      throw toTransportFailure(error, key);
    });
    const socket = await connect(signal);
    const connection = new Connection(socket, key, UndiciClient);
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    return connection;
  }
}

/**
 * Makes the default transport; no socket is opened before the first request.
 *
 * Besides what {@link Transport.send} says, `send` rejects with BITS_ERR_ARGUMENT for a request that
 * cannot be sent as it is, with BITS_ERR_STATE after `close()`, and with the very error that the
 * body's pieces threw.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work
 */
export function createUndiciTransport(options: UndiciTransportOptions = {}): Transport {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('createUndiciTransport takes an object of options');
  }
  assertKnown('', options, OPTION_NAMES);
  const { connectTimeoutMs, noProxy } = options;
  if (
    connectTimeoutMs !== undefined &&
    !(Number.isInteger(connectTimeoutMs) && connectTimeoutMs >= 1 && connectTimeoutMs < 2 ** 31)
  ) {
    throw new BitsArgumentError('connectTimeoutMs must be a whole number of 1 or more');
  }
  if (noProxy !== undefined && typeof noProxy !== 'string') {
    throw new BitsArgumentError('noProxy must be a string, written as in NO_PROXY');
  }
  return new UndiciTransport({ ...options });
}
