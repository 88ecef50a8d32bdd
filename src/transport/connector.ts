import { isIP, type Socket } from 'node:net';
import type { buildConnector } from 'undici';
import { BitsTimeoutError } from '../errors.js';
import { openHttpTunnel } from './proxy/http-tunnel.js';
import { ProxyAuth } from './proxy/proxy-auth.js';
import type { ProxyChoice } from './proxy/proxy-choice.js';
import { proxyUnreachable } from './proxy/proxy-error.js';
import type { ProxyServer } from './proxy/proxy-server.js';
import { openSocksTunnel } from './proxy/socks-tunnel.js';
import type { ResolvedTls } from './tls-options.js';
import { shimConnector } from './wire-shim.js';

export interface ConnectorOptions {
  readonly tls: ResolvedTls;
  readonly timeoutMs: number;
  /** For CONNECT. */
  readonly userAgent: string;
  readonly proxyFor: ProxyChoice['proxyFor'];
}

/** Connects, and returns the socket at once, though its type in undici does not say so. */
type Connect = (options: unknown, callback: buildConnector.Callback) => Socket | undefined;

/** Makes every socket of a transport, and knows those that are not connected yet. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #build: (tls: ResolvedTls) => Connect;
  readonly #connect: Connect;
  readonly #toProxies = new Map<ProxyServer, Connect>();
  readonly #auths = new Map<string, ProxyAuth>();
  readonly #pending = new Set<Attempt>();

  constructor(build: typeof buildConnector, options: ConnectorOptions) {
    this.#options = options;
    this.#build = ({ connection }) =>
      build({
        ...connection,
        // BITS is HTTP/1.1 only ([MC-BUP] §2.2.1); undici 8 would offer HTTP/2.
        allowH2: false,
        // undici's own timer is late by up to a second.
        timeout: 0,
      } as buildConnector.BuildOptions) as unknown as Connect;
    this.#connect = this.#build(options.tls);
  }

  /** To servers, through a tunnel where there is a proxy. */
  readonly connect: buildConnector.connector = shimConnector((options, callback) => {
    const url = new URL(`${options.protocol}//${hostOf(options)}`);
    const proxy = this.#options.proxyFor(url);
    this.#attempt(url.origin, proxy?.host ?? url.host, callback, (attempt, done) => {
      if (proxy === undefined) attempt.hold(this.#toServer(options, undefined, done));
      else void this.#throughTunnel(proxy, options, attempt, done);
    });
  });

  /** To proxies that are sent whole requests. */
  connectTo(proxy: ProxyServer): buildConnector.connector {
    return shimConnector((_options, callback) => {
      this.#attempt(proxy.host, proxy.host, callback, (attempt, done) => {
        this.#toProxy(proxy, attempt).then(
          (socket) => done(null, socket),
          (error) => done(error, null),
        );
      });
    });
  }

  /** What one proxy knows of the user. */
  authFor(proxy: ProxyServer): ProxyAuth {
    const known = this.#auths.get(proxy.host);
    if (known) return known;
    const auth = new ProxyAuth(proxy);
    this.#auths.set(proxy.host, auth);
    return auth;
  }

  /** Ends the attempts that nobody waits for any more: to an origin or forwarding proxy, or all. */
  cut(destination?: string): void {
    for (const attempt of this.#pending) {
      if (destination === undefined || attempt.destination === destination) {
        attempt.fail(new Error('No request waits for this connection'));
      }
    }
  }

  #attempt(
    destination: string,
    host: string,
    callback: buildConnector.Callback,
    start: (attempt: Attempt, done: buildConnector.Callback) => void,
  ): void {
    const { timeoutMs } = this.#options;
    const attempt = new Attempt(destination, (...result) => {
      clearTimeout(timer);
      this.#pending.delete(attempt);
      callback(...result);
    });
    const timer = setTimeout(() => {
      attempt.fail(
        new BitsTimeoutError(
          `${host} did not accept the connection within ${timeoutMs} ms (connectTimeoutMs): check the address, firewalls and that the server is running`,
        ),
      );
    }, timeoutMs);
    this.#pending.add(attempt);
    start(attempt, attempt.done);
  }

  #toServer(
    options: buildConnector.Options,
    tunnel: Socket | undefined,
    callback: buildConnector.Callback,
  ): Socket | undefined {
    const servername = this.#options.tls.servername(options.hostname) ?? options.servername;
    return this.#connect({ ...options, servername, httpSocket: tunnel }, callback);
  }

  async #throughTunnel(
    proxy: ProxyServer,
    options: buildConnector.Options,
    attempt: Attempt,
    done: buildConnector.Callback,
  ): Promise<void> {
    try {
      const tunnel = await this.#tunnel(proxy, options, attempt);
      if (options.protocol !== 'https:') {
        done(null, tunnel);
        return;
      }
      const secured = this.#toServer(options, tunnel, done);
      attempt.hold(secured);
      // Over another TLS socket, nobody else closes that one.
      secured?.once('close', () => tunnel.destroy());
    } catch (error) {
      done(error as Error, null);
    }
  }

  async #tunnel(
    proxy: ProxyServer,
    options: buildConnector.Options,
    attempt: Attempt,
  ): Promise<Socket> {
    const port = Number(options.port || (options.protocol === 'https:' ? 443 : 80));
    const connect = () => this.#toProxy(proxy, attempt);
    if (proxy.kind === 'socks5') {
      const socket = await connect();
      const hostname = options.hostname.replace(/^\[(.*)\]$/, '$1');
      await openSocksTunnel(socket, { hostname, port }, proxy);
      return socket;
    }
    const hostname = isIP(options.hostname) === 6 ? `[${options.hostname}]` : options.hostname;
    const { userAgent } = this.#options;
    const auth = this.authFor(proxy);
    const { signal } = attempt;
    return openHttpTunnel(`${hostname}:${port}`, { proxy, auth, userAgent, signal, connect });
  }

  #toProxy(proxy: ProxyServer, attempt: Attempt): Promise<Socket> {
    let connect = this.#toProxies.get(proxy);
    if (connect === undefined) {
      connect = this.#build(proxy.tls);
      this.#toProxies.set(proxy, connect);
    }
    const hostname = proxy.hostname.replace(/^\[(.*)\]$/, '$1');
    const destination = {
      protocol: proxy.isSecure ? 'https:' : 'http:',
      hostname,
      host: proxy.host,
      port: String(proxy.port),
      servername: proxy.tls.servername(hostname),
    };
    return new Promise((resolve, reject) => {
      const socket = connect(destination, (error, connected) => {
        if (error !== null) reject(proxyUnreachable(error, proxy));
        else resolve(connected);
      });
      // Destroyed by the hold, if the attempt is over, or later: then nobody calls back.
      socket?.once('close', () => reject(new Error('The connection was given up')));
      attempt.hold(socket);
    });
  }
}

/** One connection on its way, by however many sockets. */
class Attempt {
  readonly destination: string;
  readonly #callback: buildConnector.Callback;
  #socket: Socket | undefined;
  #isOver = false;
  readonly #waiting = new AbortController();

  constructor(destination: string, callback: buildConnector.Callback) {
    this.destination = destination;
    this.#callback = callback;
  }

  readonly done: buildConnector.Callback = (...result: Parameters<buildConnector.Callback>) => {
    const [, socket] = result;
    if (this.#isOver) {
      socket?.destroy();
      return;
    }
    this.#isOver = true;
    this.#waiting.abort();
    // What fails above a tunnel leaves the tunnel behind.
    if (socket === null) this.#socket?.destroy();
    this.#callback(...result);
  };

  /** Aborts when nobody waits for the connection any more. */
  get signal(): AbortSignal {
    return this.#waiting.signal;
  }

  /** Makes a socket the one that is being worked on. */
  hold(socket: Socket | undefined): void {
    this.#socket = socket;
    if (this.#isOver) socket?.destroy();
  }

  fail(error: Error): void {
    this.done(error, null);
  }
}

function hostOf({ host, hostname, port }: buildConnector.Options): string {
  return host ?? (port ? `${hostname}:${port}` : hostname);
}
