import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

/** One request as its bytes came, framed by `Content-Length` alone. */
export interface RawRequest {
  readonly connection: RawConnection;
  /** Counts the requests of all connections, from 0. */
  readonly index: number;
  /** Request line and header lines, without the empty line. */
  readonly head: string;
  readonly method: string;
  readonly target: string;
  /** Names as they came. */
  readonly headerNames: readonly string[];
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Complete once `onRequest` is called. */
  body: Buffer;
}

export interface RawConnection {
  readonly socket: net.Socket;
  readonly requests: RawRequest[];
  /** Everything that came, in order. */
  readonly received: () => Buffer;
  readonly closed: Promise<void>;
  /** What ALPN settled on, with TLS. */
  readonly alpn: string | false | null | undefined;
}

export interface RawServerOptions {
  /** Called with each complete request. */
  readonly onRequest?: (request: RawRequest) => void;
  /** Called at the end of the head, before the body is there. */
  readonly onHead?: (request: RawRequest) => void;
  readonly onConnection?: (connection: RawConnection) => void;
  /** Speaks TLS with the certificate of test/fixtures/tls. */
  readonly tls?: tls.TlsOptions | boolean;
  /** Bytes stay unread, in the kernel and then at the client, until a test resumes the socket. */
  readonly paused?: boolean;
}

export interface RawServer {
  readonly url: (path?: string) => URL;
  readonly port: number;
  readonly connections: readonly RawConnection[];
  readonly requests: readonly RawRequest[];
  readonly close: () => Promise<void>;
}

const fixture = (name: string) =>
  readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), 'utf8');

/** The certificate for localhost, 127.0.0.1 and ::1, which is its own authority. */
export const tlsCertificate = (): string => fixture('cert.pem');
export const tlsKey = (): string => fixture('key.pem');

const HEAD_END = '\r\n\r\n';

function parseHead(head: string, connection: RawConnection, index: number): RawRequest {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const [method = '', target = ''] = requestLine.split(' ');
  const fields = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  return {
    connection,
    index,
    head,
    method,
    target,
    headerNames: fields.map(([name]) => name),
    headers: Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
    body: Buffer.alloc(0),
  };
}

/** An answer without surprises. */
export function answer(
  status = 200,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): string {
  const lines = Object.entries({ ...headers, 'Content-Length': String(Buffer.byteLength(body)) });
  return `HTTP/1.1 ${status} Status\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${body}`;
}

/** A server of plain sockets: it records what comes and writes what the test tells it to. */
export async function startRawServer(options: RawServerOptions = {}): Promise<RawServer> {
  const connections: RawConnection[] = [];
  const requests: RawRequest[] = [];
  const sockets = new Set<net.Socket>();

  function accept(socket: net.Socket): void {
    const chunks: Buffer[] = [];
    let pending: Buffer = Buffer.alloc(0);
    let current: RawRequest | undefined;
    /** Of the body of the current request: large ones are put together once. */
    let parts: Buffer[] = [];
    let missing = 0;
    const connection: RawConnection = {
      socket,
      requests: [],
      received: () => Buffer.concat(chunks),
      closed: new Promise((resolve) => socket.once('close', () => resolve())),
      alpn: (socket as tls.TLSSocket).alpnProtocol,
    };
    connections.push(connection);
    // Clients cut connections in these tests: that is what is tested.
    socket.on('error', () => {});
    options.onConnection?.(connection);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      pending = current ? chunk : Buffer.concat([pending, chunk]);
      for (;;) {
        if (!current) {
          const end = pending.indexOf(HEAD_END);
          if (end < 0) return;
          current = parseHead(pending.toString('latin1', 0, end), connection, requests.length);
          pending = pending.subarray(end + HEAD_END.length);
          missing = Number(current.headers['content-length'] ?? 0);
          connection.requests.push(current);
          requests.push(current);
          options.onHead?.(current);
        }
        const part = pending.subarray(0, missing);
        pending = pending.subarray(part.length);
        missing -= part.length;
        parts.push(part);
        if (missing > 0) return;
        const complete = current;
        complete.body = Buffer.concat(parts);
        parts = [];
        current = undefined;
        options.onRequest?.(complete);
      }
    });
    if (options.paused) socket.pause();
  }

  const server = options.tls
    ? tls.createServer(
        {
          cert: tlsCertificate(),
          key: tlsKey(),
          ...(typeof options.tls === 'object' ? options.tls : {}),
        },
        accept,
      )
    : net.createServer(accept);
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  let closed: Promise<unknown> | undefined;
  return {
    url: (path = '/vdir/file.bin') =>
      new URL(path, `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`),
    port,
    connections,
    requests,
    close: async () => {
      closed ??= once(server.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
