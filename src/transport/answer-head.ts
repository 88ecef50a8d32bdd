import type { WireHeaders } from '../protocol/packets.js';

/** Header names and values as they came: alternating, or as an object of names. */
export type ReceivedHeaders =
  | readonly (string | Uint8Array)[]
  | Readonly<Record<string, string | string[] | undefined>>;

/** One byte is one character: an opaque value must survive being echoed. */
function text(value: string | Uint8Array): string {
  if (typeof value === 'string') return value;
  return (Buffer.isBuffer(value) ? value : Buffer.from(value)).toString('latin1');
}

const SPACE = 0x20;
const TAB = 0x09;

/** Without the optional white space of RFC 9110 §5.5, and none but that. */
function withoutOuterSpace(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Lower-case names, repeated ones joined by `, ` (RFC 9110 §5.3), on an object without prototype. */
export function answerHeaders(headers: ReceivedHeaders): WireHeaders {
  const joined: Record<string, string> = Object.create(null);
  const add = (name: string, spaced: string): void => {
    const key = name.toLowerCase();
    const value = withoutOuterSpace(spaced);
    const before = joined[key];
    joined[key] = before === undefined ? value : `${before}, ${value}`;
  };
  if (isAlternating(headers)) {
    for (let i = 0; i + 1 < headers.length; i += 2) {
      add(text(headers[i] as string | Uint8Array), text(headers[i + 1] as string | Uint8Array));
    }
    return joined;
  }
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) add(name, String(one ?? ''));
  }
  return joined;
}

function isAlternating(headers: ReceivedHeaders): headers is readonly (string | Uint8Array)[] {
  return Array.isArray(headers);
}

/** An answer body that nobody reads is taken off the wire up to this size, to keep the connection. */
export const DRAIN_BYTES = 64 * 1024;

/** How long that may take. */
export const DRAIN_MS = 1000;

/**
 * Whether reading an answer's body to its end can save the connection: not when the end of the body
 * is the end of the connection, nor when the body is long.
 */
export function isWorthDraining(status: number, headers: WireHeaders): boolean {
  if (isEmpty(status, headers) || headers['transfer-encoding'] !== undefined) return true;
  const length = headers['content-length'];
  return length !== undefined && Number(length) <= DRAIN_BYTES;
}

/** Whether nothing but the end of the connection tells the end of the body (RFC 9112 §6.3). */
export function endsWithConnection(headers: WireHeaders): boolean {
  const isChunked = /\bchunked[ \t]*$/i.test(headers['transfer-encoding'] ?? '');
  return !isChunked && headers['content-length'] === undefined;
}

/** Whether an answer is over with its head. */
export function isEmpty(status: number, headers: WireHeaders): boolean {
  if (status === 204 || status === 304) return true;
  return headers['transfer-encoding'] === undefined && headers['content-length'] === '0';
}
