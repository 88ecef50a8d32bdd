import { IncomingMessage, ServerResponse } from 'node:http';
import type net from 'node:net';
import tls from 'node:tls';
import {
  formatHead,
  HeadReader,
  type HeadRejection,
  MAX_HEAD_BYTES,
  type RequestHead,
} from './http1-head.js';

export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly connection: Http1Connection;
  readonly contentLength: number | undefined;
  /** True when the client sent this before the answer to its last request was complete. */
  readonly pipelined: boolean;
}

export interface Http1Options {
  /** Longest time for a head: the first one from the connection on, later ones from their first byte. */
  readonly headTimeoutMs: number;
  /** Longest time in which a body may be slower than {@link MIN_BODY_BYTES_PER_SECOND}. */
  readonly bodyTimeoutMs: number;
  /** Longest silence between requests; an answer may take longer. */
  readonly idleTimeoutMs: number;
  readonly onExchange: (exchange: Exchange) => void;
  /** Learns of a refused head and returns the headers of its answer. */
  readonly onRejected: (
    rejection: HeadRejection,
    connection: Http1Connection,
  ) => Record<string, string>;
}

/** Far below any line that is in use, far above a client that only keeps a connection busy. */
const MIN_BODY_BYTES_PER_SECOND = 1024;

// How long a closing connection still reads, so that a reset does not overtake the last answer.
const LINGER_MS = 2000;

/**
 * Reads the requests of one connection, one after another.
 *
 * Requests are Node's own `IncomingMessage`, answers its `ServerResponse`; only the framing is ours.
 */
export class Http1Connection {
  /** 1 for the first one that the server accepted. */
  readonly number: number;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: { readonly protocol: string; readonly alpn: string | undefined } | undefined;
  readonly #socket: net.Socket;
  readonly #raw: net.Socket;
  readonly #options: Http1Options;
  readonly #closed = new AbortController();

  #phase: 'head' | 'body' | 'answer' | 'closing' = 'head';
  #head = new HeadReader();
  /** What came while a request waited for its answer. */
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #bodyBytesLeft = 0;
  #discardBody = false;
  #pipelined = false;
  #inputEnded = false;
  #req: IncomingMessage | undefined;
  #res: ServerResponse | undefined;
  #headTimer: NodeJS.Timeout | undefined;
  #bodyTimer: NodeJS.Timeout | undefined;
  #lingerTimer: NodeJS.Timeout | undefined;

  constructor(socket: net.Socket, raw: net.Socket, number: number, options: Http1Options) {
    this.number = number;
    this.localAddress = socket.localAddress ?? '';
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
    this.#startHeadTimer();
  }

  /** Aborts when the connection is closed, by whichever side. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** True when the client is gone, or at least sends nothing more. */
  get peerEnded(): boolean {
    return this.#inputEnded || this.#socket.destroyed;
  }

  /** Closes the connection from this side, unannounced, whatever is under way. */
  close(): void {
    if (this.#phase !== 'closing') this.#linger();
  }

  /** True while nothing is read, so that the end of the client would not be noticed. */
  get isPaused(): boolean {
    return this.#socket.isPaused();
  }

  /** Ends the connection with a TCP reset, under TLS too; `signal` is aborted on return. */
  reset(): void {
    if (!this.#raw.destroyed) this.#raw.resetAndDestroy();
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#closed.abort();
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
        this.#early.push(chunk);
        this.#earlyBytes += chunk.length;
        // Read on as far as is cheap: the end of the connection is noticed in time this way.
        if (this.#earlyBytes > MAX_HEAD_BYTES) this.#socket.pause();
        return;
      case 'head':
        this.#takeHead(chunk);
    }
  }

  #takeHead(chunk: Buffer): void {
    this.#startHeadTimer();
    const complete = this.#head.take(chunk);
    if (complete === undefined) return;
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
    if ('violation' in complete.head) this.#reject(complete.head);
    else this.#begin(complete.head, complete.rest);
  }

  #startHeadTimer(): void {
    this.#headTimer ??= setTimeout(() => this.destroy(), this.#options.headTimeoutMs).unref();
  }

  #startBodyTimer(): void {
    const { bodyTimeoutMs } = this.#options;
    const wantedBytes = (bodyTimeoutMs / 1000) * MIN_BODY_BYTES_PER_SECOND;
    let leftBefore = this.#bodyBytesLeft;
    this.#bodyTimer = setInterval(() => {
      // A paused socket waits for this server, and not for the client.
      const isTooSlow = leftBefore - this.#bodyBytesLeft < wantedBytes && !this.isPaused;
      leftBefore = this.#bodyBytesLeft;
      if (isTooSlow) this.destroy();
    }, bodyTimeoutMs).unref();
  }

  #begin(head: RequestHead, rest: Buffer): void {
    const req = new IncomingMessage(this.#socket);
    req.method = head.method;
    req.url = head.target;
    req.httpVersionMajor = 1;
    req.httpVersionMinor = head.httpVersionMinor;
    req.httpVersion = `1.${head.httpVersionMinor}`;
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
    else this.#startBodyTimer();
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
    clearInterval(this.#bodyTimer);
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
    // Closed from this side while the answer was on its way: what comes is no request any more.
    if (this.#phase === 'closing') return;
    if (!res.shouldKeepAlive || this.#inputEnded) {
      this.#linger();
    } else if (this.#phase === 'body') {
      // The answer came before the body was read: the rest of the body is of no use.
      this.#discardBody = true;
      this.#socket.resume();
    } else {
      this.#nextHead();
    }
  }

  #nextHead(): void {
    this.#req = undefined;
    this.#phase = 'head';
    this.#head = new HeadReader();
    this.#socket.resume();
    const early = this.#early;
    this.#early = [];
    this.#earlyBytes = 0;
    for (const chunk of early) this.#onData(chunk);
  }

  #reject(rejection: HeadRejection): void {
    const headers = this.#options.onRejected(rejection, this);
    const closing = { ...headers, 'Content-Length': '0', Connection: 'close' };
    this.#socket.write(formatHead(rejection.status, closing));
    this.#linger();
  }

  #linger(): void {
    this.#phase = 'closing';
    this.#early = [];
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
    clearInterval(this.#bodyTimer);
    clearTimeout(this.#lingerTimer);
    // What has arrived can still be read; a body that ends early is one that was cut off.
    if (this.#req?.complete === false) this.#req.push(null);
    this.#closed.abort();
  }
}
