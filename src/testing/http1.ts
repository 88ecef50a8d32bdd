import { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { formatRejection, type HeadRejection, parseHead, type RequestHead } from './http1-head.js';

/** A connection as handlers see it. */
export interface Connection {
  /** 1 for the first one that the server accepted. */
  readonly number: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: { readonly protocol: string; readonly alpn: string | undefined } | undefined;
  /** Aborts when the connection is closed, by whichever side. */
  readonly signal: AbortSignal;
  /** True when the client is gone, or at least sends nothing more. */
  readonly peerEnded: boolean;
  /** Ends the connection with a TCP reset, under TLS too. */
  reset(): void;
}

export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly connection: Connection;
  readonly contentLength: number | undefined;
  /** True when the client sent this before the answer to its last request was complete. */
  readonly pipelined: boolean;
}

export interface Http1Options {
  readonly tls?: tls.TlsOptions | undefined;
  /** Longest request line and headers together. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  /** Longest time from the first byte of a head to its last. */
  readonly headTimeoutMs: number;
  /** Longest silence between requests and within a body; an answer may take longer. */
  readonly idleTimeoutMs: number;
  readonly onExchange: (exchange: Exchange) => void;
  /** Tells of a refused head and returns headers for the answer. */
  readonly onRejected: (rejection: HeadRejection, connection: Connection) => Record<string, string>;
}

export interface Http1Server {
  /** Connections accepted so far; with TLS, those whose handshake succeeded. */
  readonly connections: number;
  /** @throws Error of the operating system when the address cannot be had. */
  listen(port: number, host: string): Promise<net.AddressInfo>;
  /** Destroys every connection and stops listening. */
  close(): Promise<void>;
}

// How long a closing connection still swallows input, lest a reset overtakes the last answer.
const LINGER_MS = 2000;

const EMPTY = Buffer.alloc(0);
const HEAD_END = '\r\n\r\n';

/**
 * An HTTP/1.1 server that lets any method through, `BITS_POST` included, which Node's own parser
 * refuses before a handler could see it.
 *
 * Requests of one connection are handled one after another. Answers are Node's own
 * `ServerResponse`, requests its `IncomingMessage`, fed by the framing here.
 */
export function createHttp1Server(options: Http1Options): Http1Server {
  const live = new Set<Http1Connection>();
  const rawSockets = new Map<number, net.Socket>();
  let accepted = 0;

  const accept = (socket: net.Socket, raw: net.Socket) => {
    accepted += 1;
    const connection = new Http1Connection(socket, raw, accepted, options);
    live.add(connection);
    socket.once('close', () => live.delete(connection));
  };

  let server: net.Server;
  if (options.tls === undefined) {
    server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      accept(socket, socket),
    );
  } else {
    const secure = tls.createServer({ ...options.tls, allowHalfOpen: true, noDelay: true });
    secure.on('connection', (raw: net.Socket) => {
      const { remotePort = 0 } = raw;
      rawSockets.set(remotePort, raw);
      raw.on('error', () => raw.destroy());
      raw.once('close', () => {
        if (rawSockets.get(remotePort) === raw) rawSockets.delete(remotePort);
      });
    });
    secure.on('secureConnection', (socket) =>
      accept(socket, rawSockets.get(socket.remotePort ?? 0) ?? socket),
    );
    secure.on('tlsClientError', (_error, socket) => socket.destroy());
    server = secure;
  }

  return {
    get connections() {
      return accepted;
    },
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          // A failing accept, as with too many open files, must not end the process.
          server.on('error', () => {});
          resolve(server.address() as net.AddressInfo);
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of live) connection.destroy();
        for (const raw of rawSockets.values()) raw.destroy();
      }),
  };
}

class Http1Connection implements Connection {
  readonly number: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: Connection['tls'];
  readonly #socket: net.Socket;
  readonly #raw: net.Socket;
  readonly #options: Http1Options;
  readonly #closed = new AbortController();

  #phase: 'head' | 'body' | 'answer' | 'closing' = 'head';
  #buffered: Buffer = EMPTY;
  #bodyBytesLeft = 0;
  #discardBody = false;
  #pipelined = false;
  #inputEnded = false;
  #req: IncomingMessage | undefined;
  #res: ServerResponse | undefined;
  #headTimer: NodeJS.Timeout | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;

  constructor(socket: net.Socket, raw: net.Socket, number: number, options: Http1Options) {
    this.number = number;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.remotePort = socket.remotePort ?? 0;
    this.tls =
      socket instanceof tls.TLSSocket
        ? { protocol: socket.getProtocol() ?? '', alpn: socket.alpnProtocol || undefined }
        : undefined;
    this.#socket = socket;
    this.#raw = raw;
    this.#options = options;

    socket.setTimeout(options.idleTimeoutMs);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('end', () => this.#onEnd());
    socket.on('timeout', () => this.#onTimeout());
    socket.on('drain', () => this.#res?.emit('drain'));
    socket.on('error', () => this.destroy());
    socket.once('close', () => this.#onClose());
  }

  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  get peerEnded(): boolean {
    return this.#inputEnded || this.#socket.destroyed;
  }

  reset(): void {
    if (this.#raw.destroyed) return;
    this.#raw.resetAndDestroy();
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    switch (this.#phase) {
      case 'closing':
        return;
      case 'body':
        this.#takeBody(chunk);
        return;
      case 'answer':
        if (this.#res?.writableEnded === false) this.#pipelined = true;
        this.#buffered = this.#append(chunk);
        // Read on as far as is cheap: it is how a client's farewell is noticed in time.
        if (this.#buffered.length > this.#options.maxHeadBytes) this.#socket.pause();
        return;
      case 'head':
        this.#buffered = this.#append(chunk);
        this.#takeHead();
    }
  }

  #append(chunk: Buffer): Buffer {
    return this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
  }

  #takeHead(): void {
    // RFC 9112 §2.2: empty lines before a request line are skipped.
    while (this.#buffered[0] === 0x0d && this.#buffered[1] === 0x0a) {
      this.#buffered = this.#buffered.subarray(2);
    }
    if (this.#buffered.length === 0) return;

    const end = this.#buffered.indexOf(HEAD_END);
    const headBytes = end === -1 ? this.#buffered.length : end;
    const { maxHeadBytes, maxHeaders, headTimeoutMs } = this.#options;
    if (headBytes > maxHeadBytes) {
      const message = `the head is over ${maxHeadBytes} bytes`;
      this.#reject({ fault: 'head-too-large', status: 431, message, method: '', target: '' });
      return;
    }
    if (hasBareLineFeed(this.#buffered, headBytes)) {
      const message = 'a line ends in a bare line feed';
      this.#reject({ fault: 'framing', status: 400, message, method: '', target: '' });
      return;
    }
    if (end === -1) {
      this.#headTimer ??= setTimeout(() => this.destroy(), headTimeoutMs).unref();
      return;
    }
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;

    const head = parseHead(this.#buffered.toString('latin1', 0, end), maxHeaders);
    const rest = this.#buffered.subarray(end + HEAD_END.length);
    this.#buffered = EMPTY;
    if ('fault' in head) this.#reject(head);
    else this.#begin(head, rest);
  }

  #begin(head: RequestHead, rest: Buffer): void {
    const req = new IncomingMessage(this.#socket);
    req.method = head.method;
    req.url = head.target;
    req.httpVersionMajor = head.httpVersionMajor;
    req.httpVersionMinor = head.httpVersionMinor;
    req.httpVersion = `${head.httpVersionMajor}.${head.httpVersionMinor}`;
    req.rawHeaders = head.rawHeaders;
    req.headers = head.headers;

    const res = new ServerResponse(req);
    res.shouldKeepAlive = head.keepAlive;
    res.assignSocket(this.#socket);
    res.on('error', () => this.destroy());
    res.once('finish', () => this.#onAnswered(res));

    const pipelined = this.#pipelined;
    this.#pipelined = false;
    this.#req = req;
    this.#res = res;
    this.#bodyBytesLeft = head.contentLength ?? 0;
    this.#discardBody = false;
    this.#phase = 'body';
    if (this.#bodyBytesLeft === 0) this.#endBody();
    const { contentLength } = head;
    this.#options.onExchange({ req, res, connection: this, contentLength, pipelined });
    if (rest.length > 0) this.#onData(rest);
  }

  #takeBody(chunk: Buffer): void {
    const piece =
      chunk.length > this.#bodyBytesLeft ? chunk.subarray(0, this.#bodyBytesLeft) : chunk;
    this.#bodyBytesLeft -= piece.length;
    // Reading resumes when the consumer asks for more: IncomingMessage does that by itself.
    if (!this.#discardBody && this.#req?.push(piece) === false) this.#socket.pause();
    if (this.#bodyBytesLeft > 0) return;
    this.#endBody();
    if (piece.length < chunk.length) this.#onData(chunk.subarray(piece.length));
  }

  #endBody(): void {
    const req = this.#req;
    this.#phase = 'answer';
    if (req !== undefined) {
      req.complete = true;
      if (!this.#discardBody) req.push(null);
    }
    this.#socket.resume();
    if (this.#res === undefined) this.#nextHead();
  }

  #onAnswered(res: ServerResponse): void {
    res.detachSocket(this.#socket);
    this.#res = undefined;
    if (!res.shouldKeepAlive || this.#inputEnded) {
      this.#linger();
    } else if (this.#phase === 'body') {
      // The answer came before the body was read: what is still under way belongs to nobody.
      this.#discardBody = true;
      this.#socket.resume();
    } else {
      this.#nextHead();
    }
  }

  #nextHead(): void {
    this.#req = undefined;
    this.#phase = 'head';
    this.#socket.resume();
    if (this.#buffered.length > 0) this.#takeHead();
  }

  #reject(rejection: HeadRejection): void {
    clearTimeout(this.#headTimer);
    const headers = this.#options.onRejected(rejection, this);
    this.#socket.write(formatRejection(rejection.status, headers));
    this.#linger();
  }

  #linger(): void {
    this.#phase = 'closing';
    this.#buffered = EMPTY;
    this.#socket.end();
    if (this.#inputEnded) return;
    this.#socket.resume();
    this.#lingerTimer = setTimeout(() => this.destroy(), LINGER_MS).unref();
  }

  #onEnd(): void {
    this.#inputEnded = true;
    if (this.#phase === 'body') this.destroy();
    else if (this.#phase !== 'answer') this.#socket.end();
  }

  #onTimeout(): void {
    const applicationWorks = this.#phase === 'answer' && this.#socket.writableLength === 0;
    if (!applicationWorks) this.destroy();
  }

  #onClose(): void {
    clearTimeout(this.#headTimer);
    clearTimeout(this.#lingerTimer);
    if (this.#req !== undefined && !this.#req.complete) this.#req.destroy();
    this.#closed.abort();
  }
}

function hasBareLineFeed(buffer: Buffer, end: number): boolean {
  for (let at = buffer.indexOf(0x0a); at !== -1 && at < end; at = buffer.indexOf(0x0a, at + 1)) {
    if (buffer[at - 1] !== 0x0d) return true;
  }
  return false;
}
