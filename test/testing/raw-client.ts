import net from 'node:net';
import tls from 'node:tls';
import type { BitsServer } from '../../src/testing/index.js';

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

const PROTOCOL = '{7df0354d-249b-430f-820d-3d2a9bef4931}';

/** A client with no HTTP library in it, so that it can send anything. */
export class RawClient {
  readonly socket: net.Socket;
  readonly closed: Promise<NodeJS.ErrnoException | undefined>;
  #received = Buffer.alloc(0);
  #wake = () => {};
  #over = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    let failure: NodeJS.ErrnoException | undefined;
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const over = () => {
      this.#over = true;
      this.#wake();
    };
    socket.on('end', over);
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        over();
        resolve(failure);
      }),
    );
  }

  static async connect(server: BitsServer, options: net.NetConnectOpts | object = {}) {
    const socket = net.connect({ host: '127.0.0.1', port: server.port, ...options });
    await new Promise((resolve) => socket.once('connect', resolve));
    return new RawClient(socket);
  }

  static async connectTls(server: BitsServer, options: tls.ConnectionOptions) {
    const socket = tls.connect({ host: '127.0.0.1', port: server.port, ...options });
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  get received(): Buffer {
    return this.#received;
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  async until(done: (received: Buffer) => boolean): Promise<void> {
    while (!done(this.#received)) {
      if (this.#over) {
        const text = this.#received.toString('latin1');
        throw new Error(`The connection ended after: ${JSON.stringify(text.slice(0, 200))}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async read(options: { head?: boolean } = {}): Promise<RawAnswer> {
    await this.until((received) => received.includes('\r\n\r\n'));
    const end = this.#received.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = this.#received.toString('latin1', 0, end).split('\r\n');
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const length = options.head ? 0 : Number(headers['content-length'] ?? 0);
    const total = end + 4 + length;
    await this.until((received) => received.length >= total);
    const body = this.#received.subarray(end + 4, total);
    this.#received = this.#received.subarray(total);
    return { status: Number(statusLine.split(' ')[1]), headers, body };
  }

  async send(data: string | Uint8Array): Promise<RawAnswer> {
    this.write(data);
    return this.read();
  }

  async end(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  get(path: string, headers: Record<string, string> = {}): Promise<RawAnswer> {
    return this.send(head('GET', path, headers));
  }

  ping(path: string, headers: Record<string, string> = {}): Promise<RawAnswer> {
    return this.send(packet(path, 'Ping', headers));
  }

  createSession(path: string, headers: Record<string, string> = {}): Promise<RawAnswer> {
    const own = { 'BITS-Supported-Protocols': PROTOCOL, ...headers };
    return this.send(packet(path, 'Create-Session', own));
  }

  /** Creates a session and gives its id. */
  async open(path: string): Promise<string> {
    return (await this.createSession(path)).headers['bits-session-id'] as string;
  }

  fragment(path: string, id: string, start: number, bytes: Uint8Array, total: number) {
    return this.send(fragment(path, id, start, bytes, total));
  }

  closeSession(path: string, id: string): Promise<RawAnswer> {
    return this.send(packet(path, 'Close-Session', { 'BITS-Session-Id': id }));
  }

  cancelSession(path: string, id: string): Promise<RawAnswer> {
    return this.send(packet(path, 'Cancel-Session', { 'BITS-Session-Id': id }));
  }
}

export function head(method: string, path: string, headers: Record<string, string>): string {
  const all = { Host: 'localhost', ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

export function packet(path: string, type: string, headers: Record<string, string> = {}): string {
  return head('BITS_POST', path, {
    'BITS-Packet-Type': type,
    'Content-Length': '0',
    ...headers,
  });
}

export function fragment(
  path: string,
  id: string,
  start: number,
  bytes: Uint8Array,
  total: number,
  headers: Record<string, string> = {},
): Buffer {
  const text = packet(path, 'Fragment', {
    'BITS-Session-Id': id,
    'Content-Name': 'f.bin',
    'Content-Range': `bytes ${start}-${start + bytes.length - 1}/${total}`,
    'Content-Length': String(bytes.length),
    ...headers,
  });
  return Buffer.concat([Buffer.from(text, 'latin1'), bytes]);
}
