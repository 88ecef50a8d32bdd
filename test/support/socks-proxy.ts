import { once } from 'node:events';
import net from 'node:net';

export interface SocksProxyOptions {
  /** Asks for these. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** The reply to each request, in place of a connection (RFC 1928 §6). */
  readonly reply?: number;
  /** Sent right behind the reply, as if the server had said it. */
  readonly banner?: string;
  /** Where names lead; without it, to where they say. */
  readonly lookup?: (host: string) => string;
}

export interface SocksProxy {
  readonly port: number;
  /** What clients asked for, `name:port` or `address:port`. */
  readonly targets: readonly string[];
  readonly connections: () => number;
  /** User names and passwords that came. */
  readonly attempts: () => number;
  readonly close: () => Promise<void>;
}

/** A SOCKS5 proxy (RFC 1928, RFC 1929). */
export async function startSocksProxy(options: SocksProxyOptions = {}): Promise<SocksProxy> {
  const targets: string[] = [];
  const sockets = new Set<net.Socket>();
  let connections = 0;
  let attempts = 0;

  function keep(socket: net.Socket): net.Socket {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    return socket;
  }

  async function serve(socket: net.Socket): Promise<void> {
    const take = reader(socket);
    const [, methods = 0] = await take(2);
    const offered = await take(methods);
    const method = options.credentials ? 2 : 0;
    if (!offered.includes(method)) {
      socket.end(Buffer.from([5, 0xff]));
      return;
    }
    socket.write(Buffer.from([5, method]));
    if (options.credentials) {
      const [, nameBytes = 0] = await take(2);
      const username = (await take(nameBytes)).toString();
      const [passwordBytes = 0] = await take(1);
      const password = (await take(passwordBytes)).toString();
      const { credentials } = options;
      attempts++;
      const isRight = username === credentials.username && password === credentials.password;
      socket.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) {
        socket.end();
        return;
      }
    }
    const [, , , kind] = await take(4);
    const host = await readHost(kind ?? 0, take);
    const port = (await take(2)).readUInt16BE();
    targets.push(`${host}:${port}`);
    if (options.reply !== undefined) {
      socket.end(Buffer.from([5, options.reply, 0, 1, 0, 0, 0, 0, 0, 0]));
      return;
    }
    const upstream = keep(net.connect(port, options.lookup?.(host) ?? host));
    await once(upstream, 'connect');
    const reply = Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]);
    socket.write(Buffer.concat([reply, Buffer.from(options.banner ?? '')]));
    socket.pipe(upstream).pipe(socket);
    socket.on('close', () => upstream.destroy());
    upstream.on('close', () => socket.destroy());
  }

  const server = net.createServer((socket) => {
    connections++;
    serve(keep(socket)).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    targets,
    connections: () => connections,
    attempts: () => attempts,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

type Take = (bytes: number) => Promise<Buffer>;

function reader(socket: net.Socket): Take {
  return async (bytes) => {
    if (bytes === 0) return Buffer.alloc(0);
    for (;;) {
      const chunk = socket.read(bytes) as Buffer | null;
      if (chunk !== null) return chunk;
      await Promise.race([once(socket, 'readable'), once(socket, 'close').then(gone)]);
    }
  };
}

function gone(): never {
  throw new Error('the client is gone');
}

async function readHost(kind: number, take: Take): Promise<string> {
  if (kind === 1) return [...(await take(4))].join('.');
  if (kind === 4) return (await take(16)).toString('hex');
  const [bytes = 0] = await take(1);
  return (await take(bytes)).toString();
}
