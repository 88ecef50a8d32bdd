import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Connector } from '../transport/connector.js';
import { toTransportFailure } from '../transport/failure.js';
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
  readonly #connectors: Connector[] = [];

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** TCP only, without a proxy. */
  tcp(place: Place): Promise<Socket> {
    return this.#open('http:', place, { proxy: undefined });
  }

  /** To the proxy, with TLS if the proxy uses it, and through the proxy if requests use a tunnel. */
  async throughProxy(place: Place, proxy: ProxyServer, tunnel: boolean): Promise<Socket> {
    if (tunnel) return this.#open('http:', place, { proxy });
    const connector = await this.#connector({ proxy });
    return connected(connector.connectTo(proxy), 'http:', place);
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
    for (const connector of this.#connectors) connector.cut();
  }

  async #open(protocol: string, place: Place, how: Partial<ConnectionOptions>): Promise<Socket> {
    const connector = await this.#connector(how);
    return connected(connector.connect, protocol, place);
  }

  async #connector(how: Partial<ConnectionOptions>): Promise<Connector> {
    const { buildConnector } = await import('undici');
    const { tls, proxy, userAgent, timeoutMs } = { ...this.#options, ...how };
    const connector = new Connector(buildConnector, {
      tls: resolveTls(tls),
      timeoutMs,
      userAgent,
      proxyFor: () => proxy,
    });
    this.#connectors.push(connector);
    return connector;
  }
}

function connected(
  connect: Connector['connect'],
  protocol: string,
  { hostname, port }: Place,
): Promise<Socket> {
  const host = `${hostname}:${port}`;
  const bare = hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    connect({ protocol, hostname: bare, host, port: String(port) }, (error, socket) => {
      if (error !== null) reject(toTransportFailure(error, host));
      else resolve(socket);
    });
  });
}
