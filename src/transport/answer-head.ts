import { trimBlanks } from '../common/header-fields.js';
import type { WireHeaders } from '../protocol/packets.js';

/**
 * Lower-case names, repeated ones joined by `, ` (RFC 9110 §5.3), on an object without prototype.
 * @param fields names and values in turn, as they came
 */
export function answerHeaders(fields: readonly (string | Uint8Array)[]): WireHeaders {
  const headers: Record<string, string> = Object.create(null);
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = text(fields[i]).toLowerCase();
    const value = trimBlanks(text(fields[i + 1]));
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

/** One byte is one character: an opaque value must survive being echoed. */
function text(value: string | Uint8Array = ''): string {
  if (typeof value === 'string') return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
}

/** An answer body that nobody reads is taken off the wire up to this size, to keep the connection. */
export const DRAIN_BYTES = 64 * 1024;

/** How long that may take. */
export const DRAIN_MS = 1000;

/**
 * What is left on the wire when nobody reads the body of an answer: nothing after its head, little, so
 * that reading it saves the connection, or much. When the body ends with the connection it is much.
 */
export function unreadBody(status: number, headers: WireHeaders): 'none' | 'little' | 'much' {
  const { 'transfer-encoding': encoding, 'content-length': length } = headers;
  if (status === 204 || status === 304) return 'none';
  if (encoding !== undefined) return 'little';
  if (length === '0') return 'none';
  return length !== undefined && Number(length) <= DRAIN_BYTES ? 'little' : 'much';
}

/** Whether only the end of the connection tells the end of the body (RFC 9112 §6.3). */
export function endsWithConnection(headers: WireHeaders): boolean {
  const isChunked = /\bchunked[ \t]*$/i.test(headers['transfer-encoding'] ?? '');
  return !isChunked && headers['content-length'] === undefined;
}
