import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Connector } from '../transport/connector.js';
import type { ProxyServer } from '../transport/proxy/proxy-server.js';
import { resolveTls, type TlsOptions } from '../transport/tls-options.js';

export interface ConnectionOptions {
  readonly tls: TlsOptions | undefined;
  readonly proxy: ProxyServer | undefined;
  readonly userAgent: string;
  readonly timeoutMs: number;
}

/** The destination of a connection. */
export interface Place {
  /** IPv6 in brackets, as in URLs. */
  readonly hostname: string;
  readonly port: number;
}

export function placeOf({ hostname, port, protocol }: URL): Place {
  return { hostname, port: Number(port || (protocol === 'https:' ? 443 : 80)) };
}

/** Opens connections with the code that uploads use, each time with one more layer. */
export class Connections {
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** TCP only, without a proxy. */
  tcp(place: Place): Promise<Socket> {
    return this.#open('http:', place, { proxy: undefined });
  }

  /** To the proxy, with TLS if the proxy uses it, and through the proxy if requests use a tunnel. */
  throughProxy(place: Place, proxy: ProxyServer, tunnel: boolean): Promise<Socket> {
    if (tunnel) return this.#open('http:', place, { proxy });
    return this.#connector({ proxy }).connectTo(proxy, this.#closing.signal);
  }

  /** TLS with the server, as uploads use it. */
  tls(place: Place): Promise<TLSSocket> {
    return this.#open('https:', place, { tls: this.#options.tls }) as Promise<TLSSocket>;
  }

  /** TLS without any check, to read the certificate; nothing is sent over it. */
  uncheckedTls(place: Place): Promise<TLSSocket> {
    const { servername, minVersion } = this.#options.tls ?? {};
    const tls = { servername, minVersion, dangerouslyAllowInvalidCertificates: true };
    return this.#open('https:', place, { tls }) as Promise<TLSSocket>;
  }

  close(): void {
    this.#closing.abort();
  }

  #open(protocol: string, place: Place, how: Partial<ConnectionOptions>): Promise<Socket> {
    const url = new URL(`${protocol}//${place.hostname}:${place.port}`);
    return this.#connector(how).connect(url, this.#closing.signal);
  }

  #connector(how: Partial<ConnectionOptions>): Connector {
    const { tls, proxy, userAgent, timeoutMs } = { ...this.#options, ...how };
    return new Connector({ tls: resolveTls(tls), timeoutMs, userAgent, proxyFor: () => proxy });
  }
}
