import net from 'node:net';
import type tls from 'node:tls';
import {
  type RawConnection,
  type RawRequest,
  type RawServer,
  startRawServer,
} from './raw-server.js';

/** Lets a request in with undefined, or gives the offers of a 407. */
export type ProxyGuard = (request: RawRequest) => readonly string[] | undefined;

export interface HttpProxyOptions {
  /** Sees `Proxy-Authorization` as `authorization`. */
  readonly guard?: ProxyGuard;
  /** A status in place of the tunnel or of the server's answer. */
  readonly refuse?: (request: RawRequest) => number | undefined;
  /** Speaks TLS with the certificate of test/fixtures/tls. */
  readonly tls?: tls.TlsOptions | boolean;
  /** Ends the connection after a 407, as some proxies do. */
  readonly closesAfter407?: boolean;
  /** Sends the page of a 407 in chunks. */
  readonly chunkedPages?: boolean;
}

export interface HttpProxy extends RawServer {
  /** For the option `proxy`. */
  readonly proxyUrl: string;
  /** `CONNECT host:port 200` and the like, with the connection's number. */
  readonly log: readonly string[];
}

const PAGE = '<p>Who are you?</p>';

/** A forward proxy: CONNECT and requests in absolute form, to wherever they ask to go. */
export async function startHttpProxy(options: HttpProxyOptions = {}): Promise<HttpProxy> {
  const log: string[] = [];
  const upstreams = new Set<net.Socket>();
  const forwarders = new Map<RawConnection, net.Socket>();

  function dial(port: string, host: string): net.Socket {
    const upstream = net.connect(Number(port), host.replace(/^\[(.*)\]$/, '$1'));
    upstreams.add(upstream);
    upstream.on('close', () => upstreams.delete(upstream));
    return upstream;
  }

  function tunnel({ connection, target }: RawRequest): void {
    const { socket } = connection;
    const colon = target.lastIndexOf(':');
    socket.removeAllListeners('data');
    const upstream = dial(target.slice(colon + 1), target.slice(0, colon));
    upstream.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on('error', () => socket.end(message(502)));
    socket.on('close', () => upstream.destroy());
  }

  function forward(request: RawRequest): void {
    const { connection, method, target, body, head } = request;
    const url = new URL(target);
    let upstream = forwarders.get(connection);
    if (upstream === undefined || upstream.destroyed) {
      upstream = dial(url.port || '80', url.hostname);
      forwarders.set(connection, upstream);
      upstream.on('error', () => connection.socket.write(message(502)));
      upstream.on('data', (chunk) => connection.socket.write(chunk));
      connection.socket.on('close', () => upstream?.destroy());
    }
    const [, ...lines] = head.split('\r\n');
    const kept = lines.filter((line) => !/^proxy-/i.test(line));
    upstream.write(
      `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${kept.join('\r\n')}\r\n\r\n`,
      'latin1',
    );
    upstream.write(body);
  }

  function ask(request: RawRequest, offers: readonly string[]): void {
    const { socket } = request.connection;
    const framing = options.chunkedPages
      ? ['Transfer-Encoding: chunked']
      : [`Content-Length: ${PAGE.length}`];
    const page = options.chunkedPages
      ? `${PAGE.length.toString(16)};x=y\r\n${PAGE}\r\n0\r\n\r\n`
      : PAGE;
    const lines = [
      'HTTP/1.1 407 Proxy Authentication Required',
      ...offers.map((offer) => `Proxy-Authenticate: ${offer}`),
      ...framing,
      ...(options.closesAfter407 ? ['Connection: close'] : []),
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n${page}`);
    if (options.closesAfter407) socket.end();
  }

  const server: RawServer = await startRawServer({
    ...(options.tls !== undefined && { tls: options.tls }),
    onRequest: (request) => {
      const { 'proxy-authorization': authorization, ...headers } = request.headers;
      const offers = options.guard?.({
        ...request,
        headers: { ...headers, ...(authorization !== undefined && { authorization }) },
      });
      const refusal = offers ? 407 : options.refuse?.(request);
      const connection = server.connections.indexOf(request.connection);
      log.push(`${connection} ${request.method} ${request.target} ${refusal ?? 'ok'}`);
      if (offers) ask(request, offers);
      else if (refusal !== undefined) request.connection.socket.write(message(refusal));
      else if (request.method === 'CONNECT') tunnel(request);
      else forward(request);
    },
  });

  return {
    ...server,
    proxyUrl: `${options.tls ? 'https' : 'http'}://127.0.0.1:${server.port}`,
    log,
    close: async () => {
      for (const upstream of upstreams) upstream.destroy();
      await server.close();
    },
  };
}

function message(status: number): string {
  return `HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`;
}
