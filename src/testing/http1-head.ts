import { STATUS_CODES } from 'node:http';
import { isHeaderValue, isToken, trimBlanks } from '../common/header-fields.js';
import type { ViolationCode } from './violations.js';

/** A request line and its headers, strictly framed. */
export interface RequestHead {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  /** Of HTTP/1. */
  readonly httpVersionMinor: number;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: string[];
  /** Names in lower case, repeated values joined by `, `. */
  readonly headers: Record<string, string>;
  /** Undefined when the request has no `Content-Length`. */
  readonly contentLength: number | undefined;
  readonly keepAlive: boolean;
}

export interface HeadRejection {
  readonly violation: ViolationCode;
  readonly status: number;
  readonly message: string;
  /** As far as it could be read. */
  readonly method: string;
  readonly target: string;
}

/** Longest request line and headers together. */
export const MAX_HEAD_BYTES = 64 * 1024;
const MAX_HEADERS = 128;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
const MAX_CONTENT_LENGTH_DIGITS = 15;

/**
 * Collects the bytes of one head up to its empty line.
 *
 * Each byte is looked at once: a head that arrives byte by byte costs no more than any other.
 */
export class HeadReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #lines = 0;
  /** Bytes of the current line that earlier chunks held. */
  #lineBytes = 0;
  #lastByte = 0;

  constructor(maxBytes = MAX_HEAD_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @returns undefined while the head is not complete. */
  take(chunk: Buffer): { head: RequestHead | HeadRejection; rest: Buffer } | undefined {
    const refused = (violation: ViolationCode, status: number, message: string) => ({
      head: { violation, status, message, method: '', target: '' },
      rest: chunk.subarray(chunk.length),
    });
    let lineStart = 0;
    for (;;) {
      const lineFeed = chunk.indexOf(LINE_FEED, lineStart);
      if (lineFeed === -1) break;
      const before = lineFeed === 0 ? this.#lastByte : chunk[lineFeed - 1];
      if (before !== CARRIAGE_RETURN) {
        return refused('framing', 400, 'A line of the head ends in a bare line feed');
      }
      const isEmpty = this.#lineBytes + lineFeed - lineStart === 1;
      lineStart = lineFeed + 1;
      this.#lineBytes = 0;
      // RFC 9112 §2.2: empty lines before a request line are skipped.
      if (!isEmpty) this.#lines += 1;
      else if (this.#lines > 0) {
        const bytes = Buffer.concat([...this.#chunks, chunk.subarray(0, lineStart)]);
        if (bytes.length > this.#maxBytes) break;
        const text = bytes.toString('latin1').replace(/^[\r\n]+/, '');
        return { head: parseHead(text.slice(0, -4)), rest: chunk.subarray(lineStart) };
      }
      if (this.#lines > MAX_HEADERS + 1) {
        return refused('head-too-large', 431, `The head has more than ${MAX_HEADERS} headers`);
      }
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#lineBytes += chunk.length - lineStart;
    this.#lastByte = chunk.at(-1) ?? this.#lastByte;
    if (this.#bytes <= this.#maxBytes) return undefined;
    return refused('head-too-large', 431, `The head is longer than ${this.#maxBytes} bytes`);
  }
}

/**
 * Reads a head without its final empty line (RFC 9112 §2 to §6).
 *
 * Whatever two parsers could read in two ways is refused: bare CR, folded lines, space before the
 * colon, repeated or odd `Content-Length`, any `Transfer-Encoding`.
 *
 * @param text latin1.
 */
function parseHead(text: string): RequestHead | HeadRejection {
  const [requestLine = '', ...lines] = text.split('\r\n');
  const [, method = '', target = '', major, minor] = REQUEST_LINE.exec(requestLine) ?? [];
  const reject = (violation: ViolationCode, status: number, message: string): HeadRejection => ({
    violation,
    status,
    message,
    method,
    target,
  });

  if (method === '') return reject('framing', 400, 'The request line is malformed');
  const httpVersionMinor = Number(minor);
  if (major !== '1') {
    return reject('http-version', 505, `The request uses HTTP/${major}.${minor}`);
  }

  const rawHeaders: string[] = [];
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    if (!isToken(name)) return reject('framing', 400, 'A header name is malformed');
    const value = trimBlanks(line.slice(colon + 1));
    if (!isHeaderValue(value)) {
      return reject('framing', 400, `The value of ${name} contains a control character`);
    }
    rawHeaders.push(name, value);
    const key = name.toLowerCase();
    const known = headers[key];
    headers[key] = known === undefined ? value : `${known}, ${value}`;
  }

  const { host, expect } = headers;
  if (httpVersionMinor >= 1 && (host === undefined || host.includes(','))) {
    return reject('framing', 400, 'The request does not have exactly one Host header');
  }
  const length = headers['content-length'];
  if (headers['transfer-encoding'] !== undefined) {
    return length === undefined
      ? reject('chunked', 411, 'The request has Transfer-Encoding instead of Content-Length')
      : reject('framing', 400, 'The request has both Transfer-Encoding and Content-Length');
  }
  if (
    length !== undefined &&
    !(/^\d+$/.test(length) && length.length <= MAX_CONTENT_LENGTH_DIGITS)
  ) {
    return reject('content-length', 400, 'Content-Length is not one decimal number');
  }
  if (expect !== undefined) return reject('expect', 417, 'The request has an Expect header');

  const connection = (headers.connection ?? '').toLowerCase();
  const options = connection.split(',').map((option) => option.trim());
  return {
    method,
    target,
    httpVersionMinor,
    rawHeaders,
    headers,
    contentLength: length === undefined ? undefined : Number(length),
    keepAlive: httpVersionMinor >= 1 ? !options.includes('close') : options.includes('keep-alive'),
  };
}

/** Writes the head of an answer as it goes over the wire. */
export function formatHead(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`;
}
