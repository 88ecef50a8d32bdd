import type { WireHeaders } from '../protocol/packets.js';

/** Header names and values as they came: alternating, or as an object of names. */
export type ReceivedHeaders =
  | readonly (string | Uint8Array)[]
  | Readonly<Record<string, string | string[] | undefined>>;

/** One byte is one character: an opaque value must survive being echoed. */
function text(value: string | Uint8Array): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('latin1');
}

/** Without the optional white space of RFC 9110 §5.5, and none but that. */
function withoutOuterSpace(value: string): string {
  const isSpace = (at: number) => value[at] === ' ' || value[at] === '\t';
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(start)) start++;
  while (end > start && isSpace(end - 1)) end--;
  return value.slice(start, end);
}

function* pairs(headers: ReceivedHeaders): Iterable<readonly [string, string]> {
  if (Array.isArray(headers)) {
    for (let i = 0; i + 1 < headers.length; i += 2) yield [text(headers[i]), text(headers[i + 1])];
    return;
  }
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) yield [name, String(one ?? '')];
  }
}

/** Lower-case names, repeated ones joined by `, ` (RFC 9110 §5.3), on an object without prototype. */
export function answerHeaders(headers: ReceivedHeaders): WireHeaders {
  const joined: Record<string, string> = Object.create(null);
  for (const [name, spaced] of pairs(headers)) {
    const key = name.toLowerCase();
    const value = withoutOuterSpace(spaced);
    const before = joined[key];
    joined[key] = before === undefined ? value : `${before}, ${value}`;
  }
  return joined;
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
  if (status === 204 || status === 304) return true;
  if (headers['transfer-encoding'] !== undefined) return true;
  const length = headers['content-length'];
  return length !== undefined && Number(length) <= DRAIN_BYTES;
}
