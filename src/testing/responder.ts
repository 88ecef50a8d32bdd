import { once } from 'node:events';
import { unlessAborted } from '../common/abort.js';
import type { AccessLog, LogEntry } from './access-log.js';
import type { Answer } from './answer.js';
import type { Exchange } from './http1-connection.js';
import { formatHead } from './http1-head.js';

export interface SendOptions {
  readonly body?: string | undefined;
  /** How often the answer is sent. @default 1 */
  readonly copies?: number;
  /** Called before the client can act on the answer. */
  readonly beforeEnd?: () => unknown;
}

const INTERIM_ANSWER = 'HTTP/1.1 103 Early Hints\r\nLink: </>; rel=preload\r\n\r\n';
const INTERIM_BATCH = 1000;

/** Sends the answer to one request and logs it. */
export class Responder {
  readonly exchange: Exchange;
  readonly entry: LogEntry;
  readonly #log: AccessLog;
  readonly #now: () => number;

  constructor(exchange: Exchange, entry: LogEntry, log: AccessLog, now: () => number) {
    this.exchange = exchange;
    this.entry = entry;
    this.#log = log;
    this.#now = now;
  }

  /** True once the whole answer was handed to the operating system. */
  get isSent(): boolean {
    return this.exchange.res.writableFinished;
  }

  note({ status, headers }: Answer): void {
    this.entry.status = status;
    this.entry.answerHeaders = headers;
    this.entry.answeredAtMs = this.#now();
  }

  /** Reads the rest of the body, so that the client gets to read the answer. */
  async drain(): Promise<void> {
    const { req } = this.exchange;
    if (req.readableEnded || req.destroyed) return;
    await new Promise<void>((resolve) => {
      req.on('data', (chunk: Buffer) => {
        this.entry.bodyBytes += chunk.length;
      });
      req.once('end', resolve);
      req.once('close', resolve);
    });
  }

  async send(answer: Answer, options: SendOptions = {}): Promise<void> {
    const { body = '', copies = 1, beforeEnd } = options;
    const { req, res, connection, contentLength } = this.exchange;
    // A client reads the refusal of a huge body before it has sent it all.
    if (answer.status !== 413) await this.drain();
    if (connection.signal.aborted) {
      beforeEnd?.();
      return;
    }
    // Without a length it is not known whether a body follows.
    if (contentLength === undefined && req.method !== 'GET' && req.method !== 'HEAD') {
      res.shouldKeepAlive = false;
    }
    this.note(answer);
    beforeEnd?.();
    const headers = { ...answer.headers, 'Content-Length': String(Buffer.byteLength(body)) };
    const { socket } = res;
    res.writeHead(answer.status, headers);
    res.end(body);
    for (let copy = 1; copy < copies; copy++)
      socket?.write(formatHead(answer.status, headers) + body);
    await this.finished();
  }

  /** Waits until the answer is sent or the connection is closed. */
  async finished(): Promise<void> {
    const { res, connection } = this.exchange;
    if (res.writableFinished) return;
    await unlessAborted(once(res, 'finish'), connection.signal).catch(() => {});
  }

  /** Sends nothing more until the client gives up. */
  async hang(): Promise<void> {
    const { signal } = this.exchange.connection;
    await this.drain();
    if (signal.aborted) return;
    this.#log.settle(this.entry, 'hanging');
    await once(signal, 'abort');
  }

  /** Sends an answer without a length and never closes the connection. */
  async sendEndless(answer: Answer, body = ''): Promise<void> {
    this.note(answer);
    await this.#write(formatHead(answer.status, answer.headers) + body);
    await this.hang();
  }

  /** Sends interim answers before the answer; with Infinity, until the client gives up. */
  async sendInterim(count: number): Promise<void> {
    const { signal } = this.exchange.connection;
    await this.drain();
    if (count === Infinity) this.#log.settle(this.entry, 'hanging');
    for (let left = count; left > 0 && !signal.aborted; left -= INTERIM_BATCH) {
      const batch = INTERIM_ANSWER.repeat(Math.min(left, INTERIM_BATCH));
      await unlessAborted(this.#write(batch), signal);
    }
  }

  async sendHalfAHead({ status }: Answer): Promise<void> {
    await this.#write(`HTTP/1.1 ${status} OK\r\nBITS-Packet-`);
  }

  #write(text: string): Promise<void> {
    const { socket } = this.exchange.res;
    return new Promise((resolve) => {
      if (socket === null) resolve();
      else socket.write(text, () => resolve());
    });
  }
}
