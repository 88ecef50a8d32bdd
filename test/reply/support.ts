import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BitsTransportError } from '../../src/errors.js';
import { type ReplyCandidate, replyCandidates } from '../../src/reply/candidates.js';
import type { ReplyFetch, ReplyResponse } from '../../src/reply/get.js';
import {
  type ReplyOption,
  type ResolvedReply,
  resolveReply,
} from '../../src/reply/reply-option.js';

/** The signal of a job that nobody stops. */
export const never: AbortSignal = new AbortController().signal;

/** As a job gives it to the download. */
export function resolved(option: ReplyOption): ResolvedReply {
  const reply = resolveReply(option);
  if (reply === undefined) throw new Error('no reply is wanted');
  return reply;
}

const READ_AHEAD_BYTES = 1024 ** 2;

/** Hands out all that arrived before a cut, where a stream would drop what was not read yet. */
function arrived(response: IncomingMessage): AsyncIterable<Uint8Array> {
  const queue: Buffer[] = [];
  let queuedBytes = 0;
  let outcome: { readonly error?: Error } | undefined;
  let wake = () => {};
  response.on('data', (piece: Buffer) => {
    queue.push(piece);
    queuedBytes += piece.byteLength;
    if (queuedBytes > READ_AHEAD_BYTES) response.pause();
    wake();
  });
  response.on('end', () => {
    outcome ??= {};
    wake();
  });
  response.on('error', (error) => {
    outcome ??= { error };
    wake();
  });
  return (async function* () {
    try {
      for (;;) {
        const piece = queue.shift();
        if (piece) {
          queuedBytes -= piece.byteLength;
          yield piece;
        } else if (outcome?.error) throw outcome.error;
        else if (outcome) return;
        else {
          response.resume();
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      response.destroy();
    }
  })();
}

/** What the download is given in place of a transport: plain node:http, one socket a request. */
export const httpFetch: ReplyFetch = ({ url, headers }, signal) =>
  new Promise<ReplyResponse>((resolve, reject) => {
    const outgoing = request(url, { headers, agent: false, signal });
    outgoing.on('response', (response) => {
      const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
      resolve({
        status: response.statusCode ?? 0,
        headers: Object.fromEntries(flat),
        body: arrived(response),
      });
    });
    outgoing.on('error', (cause) => reject(new BitsTransportError('no answer', { cause })));
    outgoing.end();
  });

export interface SeenRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly encoding: string | undefined;
}

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A server on loopback that shows what it was asked for. */
export class ReplyHost {
  readonly seen: SeenRequest[] = [];
  handler: Handler;
  readonly #server = createServer((request, response) => {
    this.seen.push({
      path: request.url ?? '',
      range: request.headers.range,
      ifRange: request.headers['if-range'] as string | undefined,
      encoding: request.headers['accept-encoding'] as string | undefined,
    });
    this.handler(request, response, this.seen.length);
  });

  constructor(handler: Handler = (_request, response) => response.writeHead(500).end()) {
    this.handler = handler;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): URL {
    const { port } = this.#server.address() as AddressInfo;
    return new URL(`http://127.0.0.1:${port}/uploads/file.bin`);
  }

  candidates(replyUrl = 'reply.bin'): readonly ReplyCandidate[] {
    const policy = { hostId: undefined, trustedHosts: [], hasCredentials: false };
    return replyCandidates(replyUrl, this.url, policy);
  }

  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

export interface ServeOptions {
  readonly etag?: string;
  readonly lastModified?: string;
  /** Stops the connection after this many bytes of the body. */
  readonly cutAfter?: number | undefined;
  readonly ignoreRange?: boolean;
  readonly chunked?: boolean;
}

/** Answers as a correct static server does, or cuts itself short. */
export function serve(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  options: ServeOptions = {},
): void {
  const { etag, lastModified, cutAfter, ignoreRange = false, chunked = false } = options;
  if (etag) response.setHeader('ETag', etag);
  if (lastModified) response.setHeader('Last-Modified', lastModified);
  const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  const ifRange = request.headers['if-range'];
  const stale = ifRange !== undefined && ifRange !== etag && ifRange !== lastModified;
  const start = from === undefined || ignoreRange || stale ? 0 : Number(from);
  if (start > 0 && start >= bytes.byteLength) {
    response.writeHead(416, { 'Content-Range': `bytes */${bytes.byteLength}` }).end();
    return;
  }
  if (start > 0) {
    response.statusCode = 206;
    const last = bytes.byteLength - 1;
    response.setHeader('Content-Range', `bytes ${start}-${last}/${bytes.byteLength}`);
  }
  const body = bytes.subarray(start);
  if (!chunked) response.setHeader('Content-Length', body.byteLength);
  if (cutAfter === undefined || cutAfter > body.byteLength) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  const destroy = () => response.socket?.destroySoon();
  if (cutAfter === 0) destroy();
  else response.write(body.subarray(0, cutAfter), destroy);
}
