import type { ReplyEntity } from './entity.js';

/** Where a download stands, for another process to go on. Plain JSON, without secrets. */
export interface ReplyResumePoint extends ReplyEntity {
  /** Bytes that are on the disk for good; 0 for a reply to memory or to a stream. */
  readonly receivedBytes: number;
  /** Index of the candidate that answered last. */
  readonly candidate: number;
  /** Origin and path that the bytes came from, redirects followed; only there they are continued. */
  readonly place?: string | undefined;
}

/**
 * Reads a resume point from a record, which may have been damaged.
 *
 * @returns undefined when it is none: the reply is then fetched from its first byte.
 */
export function parseReplyResumePoint(value: unknown): ReplyResumePoint | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { receivedBytes, candidate, ...rest } = value as Record<string, unknown>;
  const { totalBytes, etag, lastModified, ifRange, place } = rest;
  if (!isCount(receivedBytes) || !isCount(candidate)) return undefined;
  if (totalBytes !== undefined && !isCount(totalBytes)) return undefined;
  if (![etag, lastModified, ifRange, place].every(isText)) return undefined;
  return {
    receivedBytes,
    candidate,
    totalBytes,
    etag,
    lastModified,
    ifRange,
    place,
  } as ReplyResumePoint;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): boolean {
  return value === undefined || (typeof value === 'string' && /^[\x20-\x7e]*$/.test(value));
}
