import net from 'node:net';
import tls from 'node:tls';
import { Http1Connection, type Http1Options } from './http1-connection.js';

export interface Http1ServerOptions extends Http1Options {
  readonly tls?: tls.TlsOptions | undefined;
  /** More are closed at once. */
  readonly maxConnections: number;
}

/**
 * An HTTP/1.1 server that accepts any method, `BITS_POST` included, which Node's own parser refuses
 * before a handler could see it.
 */
export class Http1Server {
  readonly #options: Http1ServerOptions;
  readonly #server: net.Server;
  /** Sockets below TLS, by their far end. */
  readonly #rawSockets = new Map<string, net.Socket>();
  readonly #live = new Set<Http1Connection>();
  #accepted = 0;

  constructor(options: Http1ServerOptions) {
    this.#options = options;
    this.#server = options.tls === undefined ? this.#plainServer() : this.#tlsServer(options.tls);
    this.#server.maxConnections = options.maxConnections;
  }

  /** Connections accepted so far; with TLS, those whose handshake succeeded. */
  get connections(): number {
    return this.#accepted;
  }

  /** @throws Error of the operating system when the address is not available. */
  listen(port: number, host: string): Promise<net.AddressInfo> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        // A failing accept, as with too many open files, must not end the process.
        server.on('error', () => {});
        resolve(server.address() as net.AddressInfo);
      });
    });
  }

  /** Destroys every connection and stops listening. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const connection of this.#live) connection.destroy();
      for (const raw of this.#rawSockets.values()) raw.destroy();
    });
  }

  #plainServer(): net.Server {
    return net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket, socket),
    );
  }

  #tlsServer(options: tls.TlsOptions): net.Server {
    const server = tls.createServer({
      handshakeTimeout: this.#options.headTimeoutMs,
      ...options,
      allowHalfOpen: true,
      noDelay: true,
    });
    server.on('connection', (raw: net.Socket) => {
      const farEnd = farEndOf(raw);
      this.#rawSockets.set(farEnd, raw);
      raw.on('error', () => raw.destroy());
      raw.once('close', () => {
        if (this.#rawSockets.get(farEnd) === raw) this.#rawSockets.delete(farEnd);
      });
    });
    server.on('secureConnection', (socket) =>
      this.#accept(socket, this.#rawSockets.get(farEndOf(socket)) ?? socket),
    );
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }

  #accept(socket: net.Socket, raw: net.Socket): void {
    this.#accepted += 1;
    const connection = new Http1Connection(socket, raw, this.#accepted, this.#options);
    this.#live.add(connection);
    socket.once('close', () => this.#live.delete(connection));
  }
}

function farEndOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
