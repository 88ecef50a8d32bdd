import { isIP, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { abortError, onAbort, unlessAborted } from '../common/abort.js';
import { BitsTimeoutError } from '../errors.js';
import type { ProtectionSpace } from './auth/protection-space.js';
import { Countdown } from './countdown.js';
import { dial, withoutBrackets } from './dial.js';
import { toTransportFailure, unsentFailure } from './failure.js';
import { openHttpTunnel } from './proxy/http-tunnel.js';
import { proxySpace } from './proxy/proxy-auth.js';
import type { ProxyChoice } from './proxy/proxy-choice.js';
import { proxyUnreachable } from './proxy/proxy-error.js';
import type { ProxyServer } from './proxy/proxy-server.js';
import { openSocksTunnel } from './proxy/socks-tunnel.js';
import { carry } from './sockets.js';
import type { ResolvedTls } from './tls-options.js';

export interface ConnectorOptions {
  readonly tls: ResolvedTls;
  /** For a connection as a whole: proxy, tunnel and TLS included. */
  readonly timeoutMs: number;
  /** For CONNECT. */
  readonly userAgent: string;
  readonly proxyFor: ProxyChoice['proxyFor'];
}

/** Makes every socket of a transport. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #spaces = new Map<string, ProtectionSpace>();
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
    const late =
      proxy === undefined
        ? this.#tooLate(url.host)
        : `The proxy ${proxy.host} made no connection to ${url.host} within ${this.#time}: check the address of the proxy, firewalls and that it can reach the server`;
    return this.#attempt(url.host, late, signal, async (attempt) => {
      const socket =
        proxy === undefined
          ? await dialled(hostname, port, attempt)
          : await this.#tunnel(proxy, hostname, port, attempt);
      if (url.protocol !== 'https:') return socket;
      return this.#secure(socket, url.host, hostname, this.#options.tls, attempt);
    });
  }

  /** Connects to a proxy that is sent whole requests; throws as {@link connect} does. */
  connectTo(proxy: ProxyServer, signal: AbortSignal): Promise<Socket> {
    const late = this.#tooLate(`The proxy ${proxy.host}`);
    return this.#attempt(proxy.host, late, signal, (attempt) => this.#toProxy(proxy, attempt));
  }

  /** What one proxy knows of the user. */
  spaceOf(proxy: ProxyServer): ProtectionSpace {
    const space = this.#spaces.get(proxy.host) ?? proxySpace(proxy);
    this.#spaces.set(proxy.host, space);
    return space;
  }

  get #time(): string {
    return `${this.#options.timeoutMs} ms (timeouts.connectMs)`;
  }

  #tooLate(title: string): string {
    return `${title} did not accept the connection within ${this.#time}: check the address, firewalls and that it is running`;
  }

  /** Makes a connection within the time for it; whatever was opened for one that fails is closed. */
  async #attempt(
    host: string,
    late: string,
    signal: AbortSignal,
    connect: (attempt: AbortSignal) => Promise<Socket>,
  ): Promise<Socket> {
    const { timeoutMs } = this.#options;
    const attempt = new AbortController();
    const listening = onAbort(signal, () => attempt.abort(abortError(signal)));
    const countdown = new Countdown(() => {
      attempt.abort(new BitsTimeoutError(late));
    });
    countdown.start(timeoutMs);
    try {
      return await unlessAborted(connect(attempt.signal), attempt.signal);
    } catch (error) {
      attempt.abort();
      throw unsentFailure(toTransportFailure(error, host));
    } finally {
      countdown.end();
      listening[Symbol.dispose]();
    }
  }

  async #tunnel(
    proxy: ProxyServer,
    hostname: string,
    port: number,
    attempt: AbortSignal,
  ): Promise<Socket> {
    const { userAgent, timeoutMs } = this.#options;
    if (proxy.kind === 'http') {
      return openHttpTunnel(`${hostname}:${port}`, {
        proxy,
        space: this.spaceOf(proxy),
        userAgent,
        signal: attempt,
        connect: () => this.#toProxy(proxy, attempt),
      });
    }
    const socket = await this.#toProxy(proxy, attempt);
    const target = { hostname: withoutBrackets(hostname), port };
    await openSocksTunnel(socket, target, proxy, attempt, timeoutMs);
    return socket;
  }

  async #toProxy(proxy: ProxyServer, attempt: AbortSignal): Promise<Socket> {
    const { hostname, port, host } = proxy;
    try {
      const socket = await dialled(hostname, port, attempt);
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
    const secured = tls.connect({
      ...options.connection,
      socket,
      host: name,
      // BITS is HTTP/1.1 only ([MC-BUP] §2.2.1).
      ALPNProtocols: ['http/1.1'],
      servername,
      session: this.#sessions.get(host),
    });
    secured.on('session', (latest: Buffer) => this.#sessions.set(host, latest));
    carry(secured, socket);
    onAbort(attempt, () => secured.destroy());
    return new Promise((resolve, reject) => {
      secured.once('secureConnect', () => resolve(secured));
      secured.on('error', reject);
      secured.once('close', () => {
        const error = new Error('The connection was closed before TLS was established');
        reject(Object.assign(error, { code: 'ECONNRESET' }));
      });
    });
  }
}

/** @param attempt closes the socket when it aborts, also later */
async function dialled(hostname: string, port: number, attempt: AbortSignal): Promise<Socket> {
  const socket = await dial(hostname, port, attempt);
  onAbort(attempt, () => socket.destroy());
  return socket;
}
