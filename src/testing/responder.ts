import { once } from 'node:events';
import { unlessAborted } from '../common/abort.js';
import type { AccessLog, LogEntry } from './access-log.js';
import type { Answer } from './answer.js';
import type { Exchange } from './http1-connection.js';

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

  /** @param beforeEnd called before the client can act on the answer. */
  async send(answer: Answer, body = '', beforeEnd = (): void => {}): Promise<void> {
    const { req, res, connection, contentLength } = this.exchange;
    // A client reads the refusal of a huge body before it has sent it all.
    if (answer.status !== 413) await this.drain();
    if (connection.signal.aborted) {
      beforeEnd();
      return;
    }
    // Without a length it is not known whether a body follows.
    if (contentLength === undefined && req.method !== 'GET' && req.method !== 'HEAD') {
      res.shouldKeepAlive = false;
    }
    this.note(answer);
    beforeEnd();
    res.writeHead(answer.status, {
      ...answer.headers,
      'Content-Length': String(Buffer.byteLength(body)),
    });
    res.end(body);
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
    const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#write(`HTTP/1.1 ${answer.status} Fault\r\n${lines.join('')}\r\n${body}`);
    await this.hang();
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
