import type { WireHeaders } from '../protocol/packets.js';

/** What tells one version of a reply from another. Plain JSON. */
export interface ReplyEntity {
  readonly totalBytes?: number | undefined;
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
  /** What can be sent as `If-Range`; absent: these bytes cannot be continued, only fetched again. */
  readonly ifRange?: string | undefined;
}

// Printable ASCII only: it goes back in a request header.
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]{0,1024}"$/;
const DATE = /^[\x20-\x7e]{1,64}$/;

/** RFC 9110 §8.8.2.2: a version made within the same second would have the same date. */
const STRONG_DATE_AGE_MS = 1000;

/**
 * Reads the validators of an answer (RFC 9110 §8.8, §13.1.5): a strong ETag, else a Last-Modified
 * that was at least a second old, may be used to continue; a weak ETag only to notice a change.
 *
 * @param nowMs the wall clock, in place of a missing `Date` (RFC 9110 §6.6.1).
 */
export function readEntity(headers: WireHeaders, nowMs: number): ReplyEntity {
  const etag = matching(headers.etag, ETAG);
  const lastModified = matching(headers['last-modified'], DATE);
  const strongTag = etag?.startsWith('"') ? etag : undefined;
  const modifiedMs = dateMs(lastModified);
  const answeredMs = dateMs(headers.date) ?? nowMs;
  const strongDate =
    modifiedMs !== undefined && answeredMs - modifiedMs >= STRONG_DATE_AGE_MS
      ? lastModified
      : undefined;
  return { etag, lastModified, ifRange: strongTag ?? strongDate };
}

/** False when something that both have differs; ETags are compared before dates. */
export function isSameEntity(known: ReplyEntity, now: ReplyEntity): boolean {
  if (differ(known.totalBytes, now.totalBytes)) return false;
  if (known.etag !== undefined && now.etag !== undefined) {
    return opaque(known.etag) === opaque(now.etag);
  }
  return !differ(known.lastModified, now.lastModified);
}

function differ<T>(a: T | undefined, b: T | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

// IIS marks the ETag of a file that was just written as weak, and the same one as strong later.
function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice('W/'.length) : etag;
}

function matching(value: string | undefined, pattern: RegExp): string | undefined {
  const text = value?.trim();
  return text !== undefined && pattern.test(text) ? text : undefined;
}

function dateMs(value: string | undefined): number | undefined {
  const ms = value === undefined ? Number.NaN : Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
