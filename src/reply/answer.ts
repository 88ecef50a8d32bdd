import { BitsError, BitsServerError } from '../errors.js';
import { parseContentRange, parseOffset } from '../protocol/content-range.js';
import type { AnswerHead, WireHeaders } from '../protocol/packets.js';
import { parseRetryAfterMs } from '../protocol/retry-after.js';

/** What the head of an answer to the GET of a reply means. */
export type ReplyAnswer =
  /** 200: the body is the reply from its first byte. `totalBytes` undefined: until the body ends. */
  | { readonly kind: 'whole'; readonly totalBytes: number | undefined }
  /** 206; `range` undefined when there is none, or several, or `Content-Length` contradicts it. */
  | { readonly kind: 'part'; readonly range: PartRange | undefined }
  /** 416; `totalBytes` as its `Content-Range` says. */
  | { readonly kind: 'unsatisfiable'; readonly totalBytes: number | undefined }
  | { readonly kind: 'gone'; readonly status: number }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'refused'; readonly error: BitsError };

export interface PartRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly total: number | undefined;
}

// A GET stays a GET after each of them.
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const LATER_STATUSES = new Set([408, 425, 429]);
// As for BITS packets: a retry cannot help here.
const LASTING_SERVER_ERRORS = new Set([501, 505]);

/**
 * Reads an answer to the GET of a reply; nothing is thrown, and no header text reaches a message.
 *
 * 202 and 204 mean that there is no reply yet: taking them for an empty reply would close the session
 * and destroy the one that may still come.
 *
 * @param nowMs the wall clock, for a `Retry-After` that gives a date.
 */
export function readReplyAnswer({ status, headers }: AnswerHead, nowMs: number): ReplyAnswer {
  if (status === 200 || status === 206) {
    if (isEncoded(headers)) return refused(encodedError());
    return status === 200 ? whole(headers) : { kind: 'part', range: partRange(headers) };
  }
  if (status === 416) return { kind: 'unsatisfiable', totalBytes: unsatisfiedTotal(headers) };
  if (status === 404 || status === 410) return { kind: 'gone', status };
  const location = headers.location?.trim();
  if (REDIRECTS.has(status) && location) return { kind: 'redirect', location };
  return refused(refusalOf(status, headers, nowMs));
}

function whole(headers: WireHeaders): ReplyAnswer {
  const text = headers['content-length'];
  if (text === undefined) return { kind: 'whole', totalBytes: undefined };
  const totalBytes = parseOffset(text);
  if (totalBytes !== undefined) return { kind: 'whole', totalBytes };
  return refused(
    new BitsError(
      'BITS_ERR_REPLY',
      'The reply has an invalid Content-Length: check the server and proxies in between',
      { retryable: true },
    ),
  );
}

function partRange(headers: WireHeaders): PartRange | undefined {
  // Each part in such a body has a head of its own.
  if (/^multipart\//i.test(headers['content-type']?.trim() ?? '')) return undefined;
  const range = parseContentRange(headers['content-range'] ?? '');
  const text = headers['content-length'];
  if (range === undefined || text === undefined) return range;
  return parseOffset(text) === range.end - range.start ? range : undefined;
}

function unsatisfiedTotal(headers: WireHeaders): number | undefined {
  const total = /^bytes[ \t]+\*\/(\d+)$/i.exec(headers['content-range']?.trim() ?? '')?.[1];
  return total === undefined ? undefined : parseOffset(total);
}

function isEncoded(headers: WireHeaders): boolean {
  return (
    !isPlain(headers['content-encoding'], 'identity') ||
    !isPlain(headers['transfer-encoding'], 'chunked')
  );
}

function isPlain(coding: string | undefined, plain: string): boolean {
  const name = coding?.trim().toLowerCase() ?? '';
  return name === '' || name === plain;
}

function encodedError(): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    'The reply is compressed (Content-Encoding or Transfer-Encoding) although that was not ' +
      'requested: switch compression off for the reply directory, on the server and on proxies in ' +
      'between. The session is left open.',
  );
}

function refused(error: BitsError): ReplyAnswer {
  return { kind: 'refused', error };
}

function refusalOf(status: number, headers: WireHeaders, nowMs: number): BitsError {
  const retryAfterMs = parseRetryAfterMs(headers['retry-after'], nowMs);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  const { advice, retryable } = verdictOf(status);
  const message =
    `The download of the reply was refused with HTTP status ${status}: ${advice}. ` +
    'The session is left open.';
  const unauthorized = status === 401 || status === 407;
  const code = unauthorized ? 'BITS_ERR_AUTH' : 'BITS_ERR_SERVER';
  return new BitsServerError(message, details, { code, retryable });
}

function verdictOf(status: number): { advice: string; retryable: boolean } {
  if (status === 202 || status === 204) {
    return { advice: 'the server has no reply yet', retryable: true };
  }
  if (LATER_STATUSES.has(status) || (status >= 500 && !LASTING_SERVER_ERRORS.has(status))) {
    return { advice: 'the server or its application is not available now', retryable: true };
  }
  return { advice: adviceOn(status), retryable: false };
}

function adviceOn(status: number): string {
  if (status === 401) {
    return 'check the credentials, and whether the host of the reply may have them (option trustedHosts)';
  }
  if (status === 403) return 'check the read permission on the reply directory';
  if (status === 407) return 'check the credentials for the proxy';
  if (status >= 300 && status <= 399) return 'a redirect that cannot be followed';
  return 'check that the server allows GET for the URL of the reply that it announced';
}
