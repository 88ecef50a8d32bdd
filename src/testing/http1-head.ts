import { STATUS_CODES } from 'node:http';

/** A request line and its headers, strictly framed. */
export interface RequestHead {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: string[];
  /** Names in lower case, repeated values joined by `, `. */
  readonly headers: Record<string, string>;
  /** Undefined when the request has no `Content-Length`. */
  readonly contentLength: number | undefined;
  readonly keepAlive: boolean;
}

/** Why a request is refused before any handler sees it. */
export type HeadFault =
  | 'framing'
  | 'chunked'
  | 'content-length'
  | 'expect'
  | 'http-version'
  | 'head-too-large';

export interface HeadRejection {
  readonly fault: HeadFault;
  readonly status: number;
  readonly message: string;
  /** As far as it could be read. */
  readonly method: string;
  readonly target: string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const MAX_CONTENT_LENGTH_DIGITS = 15;

/**
 * Reads a head without its final empty line (RFC 9112 §2 to §6).
 *
 * Whatever two parsers could read in two ways is refused: bare LF or CR, folded lines, space before
 * the colon, repeated or odd `Content-Length`, any `Transfer-Encoding`.
 *
 * @param text latin1.
 */
export function parseHead(text: string, maxHeaders: number): RequestHead | HeadRejection {
  const lines = text.split('\r\n');
  const requestLine = lines[0] ?? '';
  const [, method = '', target = '', major, minor] = REQUEST_LINE.exec(requestLine) ?? [];
  const reject = (fault: HeadFault, status: number, message: string): HeadRejection => ({
    fault,
    status,
    message,
    method,
    target,
  });

  if (method === '') return reject('framing', 400, 'the request line is malformed');
  const httpVersionMajor = Number(major);
  const httpVersionMinor = Number(minor);
  if (httpVersionMajor !== 1) {
    return reject('http-version', 505, `HTTP/${major}.${minor} was spoken`);
  }
  if (lines.length - 1 > maxHeaders) {
    return reject('head-too-large', 431, `there are more than ${maxHeaders} headers`);
  }

  const rawHeaders: string[] = [];
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    if (!TOKEN.test(name)) return reject('framing', 400, 'a header name is malformed');
    const value = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, '');
    if (!FIELD_VALUE.test(value)) {
      return reject('framing', 400, `the value of ${name} holds a control character`);
    }
    rawHeaders.push(name, value);
    const key = name.toLowerCase();
    const known = headers[key];
    headers[key] = known === undefined ? value : `${known}, ${value}`;
  }

  const { host, expect } = headers;
  if (httpVersionMinor >= 1 && (host === undefined || host.includes(','))) {
    return reject('framing', 400, 'there must be exactly one Host');
  }
  const length = headers['content-length'];
  if (headers['transfer-encoding'] !== undefined) {
    return length === undefined
      ? reject('chunked', 411, 'Transfer-Encoding stands in place of Content-Length')
      : reject('framing', 400, 'both Transfer-Encoding and Content-Length were sent');
  }
  if (
    length !== undefined &&
    !(/^\d+$/.test(length) && length.length <= MAX_CONTENT_LENGTH_DIGITS)
  ) {
    return reject('content-length', 400, 'Content-Length is no single decimal number');
  }
  if (expect !== undefined) return reject('expect', 417, 'Expect was sent');

  const connection = (headers.connection ?? '').toLowerCase();
  const options = connection.split(',').map((option) => option.trim());
  return {
    method,
    target,
    httpVersionMajor,
    httpVersionMinor,
    rawHeaders,
    headers,
    contentLength: length === undefined ? undefined : Number(length),
    keepAlive: httpVersionMinor >= 1 ? !options.includes('close') : options.includes('keep-alive'),
  };
}

/** Writes the answer to a rejected head; the connection closes after it. */
export function formatRejection(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}` +
    'Content-Length: 0\r\nConnection: close\r\n\r\n'
  );
}
