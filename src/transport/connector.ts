import net, { isIP, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { abortError, onAbort, unlessAborted } from '../common/abort.js';
import { BitsTimeoutError } from '../errors.js';
import { toTransportFailure } from './failure.js';
import { openHttpTunnel } from './proxy/http-tunnel.js';
import { ProxyAuth } from './proxy/proxy-auth.js';
import type { ProxyChoice } from './proxy/proxy-choice.js';
import { proxyUnreachable } from './proxy/proxy-error.js';
import type { ProxyServer } from './proxy/proxy-server.js';
import { openSocksTunnel } from './proxy/socks-tunnel.js';
import type { ResolvedTls } from './tls-options.js';

export interface ConnectorOptions {
  readonly tls: ResolvedTls;
  /** For a connection as a whole: proxy, tunnel and TLS included. */
  readonly timeoutMs: number;
  /** For CONNECT. */
  readonly userAgent: string;
  readonly proxyFor: ProxyChoice['proxyFor'];
}

/** An idle connection is probed after this time, so that firewalls remember it. */
const KEEP_ALIVE_DELAY_MS = 60_000;

/** Makes every socket of a transport. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #auths = new Map<string, ProxyAuth>();
  /** TLS sessions, by host. */
  readonly #sessions = new Map<string, Buffer>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /**
   * Connects to the server of a URL, through a tunnel where there is a proxy, with TLS for https.
   * @throws a BitsError: BITS_ERR_TRANSPORT, BITS_ERR_TLS, BITS_ERR_PROXY, BITS_ERR_AUTH,
   *   BITS_ERR_TIMEOUT; BITS_ERR_ABORTED when the signal aborts
   */
  connect(url: URL, signal: AbortSignal): Promise<Socket> {
    const proxy = this.#options.proxyFor(url);
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    const { hostname } = url;
    return this.#attempt(url.host, proxy?.host ?? url.host, signal, async (attempt) => {
      const socket =
        proxy === undefined
          ? await dial(hostname, port, attempt)
          : await this.#tunnel(proxy, hostname, port, attempt);
      if (url.protocol !== 'https:') return socket;
      return this.#secure(socket, url.host, hostname, this.#options.tls, attempt);
    });
  }

  /** Connects to a proxy that is sent whole requests; throws as {@link connect} does. */
  connectTo(proxy: ProxyServer, signal: AbortSignal): Promise<Socket> {
    return this.#attempt(proxy.host, proxy.host, signal, (attempt) =>
      this.#toProxy(proxy, attempt),
    );
  }

  /** What one proxy knows of the user. */
  authFor(proxy: ProxyServer): ProxyAuth {
    const known = this.#auths.get(proxy.host);
    if (known) return known;
    const auth = new ProxyAuth(proxy);
    this.#auths.set(proxy.host, auth);
    return auth;
  }

  /** Makes a connection within the time for it; whatever was opened for one that fails is closed. */
  async #attempt(
    host: string,
    firstHost: string,
    signal: AbortSignal,
    connect: (attempt: AbortSignal) => Promise<Socket>,
  ): Promise<Socket> {
    const { timeoutMs } = this.#options;
    const attempt = new AbortController();
    const listening = onAbort(signal, () => attempt.abort(abortError(signal)));
    const timer = setTimeout(() => {
      attempt.abort(
        new BitsTimeoutError(
          `${firstHost} did not accept the connection within ${timeoutMs} ms (connectTimeoutMs): check the address, firewalls and that the server is running`,
        ),
      );
    }, timeoutMs);
    try {
      return await unlessAborted(connect(attempt.signal), attempt.signal);
    } catch (error) {
      attempt.abort();
      throw toTransportFailure(error, host);
    } finally {
      clearTimeout(timer);
      listening[Symbol.dispose]();
    }
  }

  async #tunnel(
    proxy: ProxyServer,
    hostname: string,
    port: number,
    attempt: AbortSignal,
  ): Promise<Socket> {
    const connect = () => this.#toProxy(proxy, attempt);
    if (proxy.kind === 'socks5') {
      const socket = await connect();
      await openSocksTunnel(socket, { hostname: withoutBrackets(hostname), port }, proxy, attempt);
      return socket;
    }
    const { userAgent } = this.#options;
    const auth = this.authFor(proxy);
    return openHttpTunnel(`${hostname}:${port}`, {
      proxy,
      auth,
      userAgent,
      signal: attempt,
      connect,
    });
  }

  async #toProxy(proxy: ProxyServer, attempt: AbortSignal): Promise<Socket> {
    const { hostname, port, host } = proxy;
    try {
      const socket = await dial(hostname, port, attempt);
      return proxy.isSecure
        ? await this.#secure(socket, `proxy ${host}`, hostname, proxy.tls, attempt)
        : socket;
    } catch (error) {
      throw proxyUnreachable(error, proxy);
    }
  }

  /** TLS over a socket, which is closed with it. */
  #secure(
    socket: Socket,
    host: string,
    hostname: string,
    options: ResolvedTls,
    attempt: AbortSignal,
  ): Promise<TLSSocket> {
    const name = withoutBrackets(hostname);
    const servername = options.servername(name) ?? (isIP(name) === 0 ? name : undefined);
    const session = this.#sessions.get(host);
    const secured = tls.connect({
      ...options.connection,
      socket,
      host: name,
      // BITS is HTTP/1.1 only ([MC-BUP] §2.2.1).
      ALPNProtocols: ['http/1.1'],
      ...(servername !== undefined && { servername }),
      ...(session !== undefined && { session }),
    });
    secured.on('session', (latest: Buffer) => this.#sessions.set(host, latest));
    // Over another TLS socket, nobody else closes that one.
    secured.once('close', () => socket.destroy());
    return connected(secured, 'secureConnect', attempt);
  }
}

function dial(hostname: string, port: number, attempt: AbortSignal): Promise<Socket> {
  const socket = net.connect({
    host: withoutBrackets(hostname),
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
  });
  return connected(socket, 'connect', attempt);
}

/**
 * Waits until a socket is ready to be used.
 * @param attempt closes the socket when it aborts, also later
 */
function connected<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  attempt: AbortSignal,
): Promise<S> {
  onAbort(attempt, () => socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve(socket));
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('The connection was closed')));
  });
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}
