import type { Socket } from 'node:net';
import type { WireHeaders } from '../../protocol/packets.js';
import { answerHeaders } from '../answer-head.js';

/** What a proxy says to CONNECT. */
export interface ConnectAnswer {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Whether another CONNECT can go over the same connection. */
  readonly staysOpen: boolean;
}

/** It answered with something that is no HTTP. */
export class NotHttpError extends Error {}

const MAX_HEAD_BYTES = 64 * 1024;

/** A longer body, of the page that explains a refusal, is not read. */
const MAX_BODY_BYTES = 64 * 1024;

const HEAD_END = Buffer.from('\r\n\r\n');
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |$)/;

/**
 * Reads the answer to CONNECT, body included; what comes after it stays in the socket.
 *
 * @throws NotHttpError, or the socket's error.
 */
export async function readConnectAnswer(socket: Socket): Promise<ConnectAnswer> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const answer = parse(bytes);
    if (answer !== undefined) {
      const rest = bytes.subarray(answer.bytes);
      if (rest.length > 0) socket.unshift(rest);
      return answer;
    }
    const chunk = await nextChunk(socket);
    // Without the rest of the body, all is known but whether the connection can be used again.
    if (chunk === undefined) return cutShort(bytes);
    bytes = Buffer.concat([bytes, chunk]);
  }
}

interface Parsed extends ConnectAnswer {
  /** How many of the bytes belong to the answer. */
  readonly bytes: number;
}

function parse(bytes: Buffer): Parsed | undefined {
  const head = parseHead(bytes);
  if (head === undefined) return undefined;
  const { status, headers, bytes: headBytes, minor } = head;
  if (status < 200) {
    const final = parse(bytes.subarray(headBytes));
    return final && { ...final, bytes: final.bytes + headBytes };
  }
  // A tunnel begins right after the head, whatever the headers say (RFC 9110 §9.3.6).
  if (status < 300) return { status, headers, staysOpen: true, bytes: headBytes };
  const body = bodyBytes(bytes.subarray(headBytes), headers);
  if (body === undefined) return undefined;
  const connection = headers.connection ?? headers['proxy-connection'] ?? '';
  const keepsAlive = minor === 1 ? !/\bclose\b/i.test(connection) : /keep-alive/i.test(connection);
  const staysOpen = keepsAlive && body !== 'endless';
  return { status, headers, staysOpen, bytes: headBytes + (body === 'endless' ? 0 : body) };
}

function parseHead(bytes: Buffer) {
  const start = bytes.toString('latin1', 0, 13);
  if (!'HTTP/1.'.startsWith(start.slice(0, 7))) throw new NotHttpError();
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) {
    if (bytes.length > MAX_HEAD_BYTES) throw new NotHttpError();
    return undefined;
  }
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const [, minor, status] = STATUS_LINE.exec(statusLine) ?? [];
  if (status === undefined) throw new NotHttpError();
  const fields = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return colon < 1 ? [] : [line.slice(0, colon), line.slice(colon + 1)];
  });
  return {
    status: Number(status),
    headers: answerHeaders(fields),
    minor: Number(minor),
    bytes: end + HEAD_END.length,
  };
}

/** Undefined: more has to come. `endless`: it is too long, or only the connection's end ends it. */
function bodyBytes(bytes: Buffer, headers: WireHeaders): number | 'endless' | undefined {
  if (headers['transfer-encoding'] !== undefined) return chunkedBytes(bytes);
  const length = headers['content-length'];
  if (length === undefined || !/^\d+$/.test(length) || Number(length) > MAX_BODY_BYTES) {
    return 'endless';
  }
  return bytes.length < Number(length) ? undefined : Number(length);
}

function chunkedBytes(bytes: Buffer): number | 'endless' | undefined {
  for (let at = 0; at <= MAX_BODY_BYTES; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return bytes.length - at > MAX_BODY_BYTES ? 'endless' : undefined;
    const size = /^([0-9a-f]{1,8})\s*(?:;|$)/i.exec(bytes.toString('latin1', at, lineEnd))?.[1];
    if (size === undefined) return 'endless';
    const chunkBytes = Number.parseInt(size, 16);
    if (chunkBytes === 0) {
      if (bytes.length < lineEnd + 4) return undefined;
      // Trailers are as good as none: a proxy that sends them is not waited for.
      return bytes.toString('latin1', lineEnd, lineEnd + 4) === '\r\n\r\n'
        ? lineEnd + 4
        : 'endless';
    }
    at = lineEnd + 2 + chunkBytes + 2;
  }
  return 'endless';
}

function cutShort(bytes: Buffer): ConnectAnswer {
  const head = parseHead(bytes);
  if (head === undefined || head.status < 200) {
    throw Object.assign(new Error('The proxy closed the connection'), { code: 'ECONNRESET' });
  }
  return { status: head.status, headers: head.headers, staysOpen: false };
}

/** Undefined at the end of the stream. */
async function nextChunk(socket: Socket): Promise<Buffer | undefined> {
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) {
      if (socket.errored) throw socket.errored;
      return undefined;
    }
    await new Promise<void>((resolve) => {
      const events = ['readable', 'end', 'error', 'close'];
      const goOn = () => {
        for (const event of events) socket.off(event, goOn);
        resolve();
      };
      for (const event of events) socket.on(event, goOn);
    });
  }
}
