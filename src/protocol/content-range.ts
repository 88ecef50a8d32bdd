import type { ContentRange } from './packets.js';

/**
 * Writes the `Content-Range` of a Fragment ([MC-BUP] §2.2.6.1): `bytes 0-99/100`, last byte inclusive.
 *
 * @throws RangeError when the range is empty or not within its total: it cannot be expressed.
 */
export function formatContentRange(range: ContentRange): string {
  const { start, end, total } = range;
  if (
    ![start, end, total].every(Number.isSafeInteger) ||
    start < 0 ||
    end <= start ||
    end > total
  ) {
    throw new RangeError(
      `No Content-Range can say bytes ${start} to ${end} (exclusive) of ${total}`,
    );
  }
  return `bytes ${start}-${end - 1}/${total}`;
}

const CONTENT_RANGE = /^bytes[ \t]+(\d+)[ \t]*-[ \t]*(\d+)[ \t]*\/[ \t]*(\d+|\*)$/i;

/**
 * Reads a `Content-Range` with any case and spacing.
 *
 * @returns offsets with an exclusive end, `total` undefined for `*`; undefined when malformed.
 */
export function parseContentRange(
  value: string,
): { start: number; end: number; total: number | undefined } | undefined {
  const [, first, last, size] = CONTENT_RANGE.exec(value.trim()) ?? [];
  if (first === undefined || last === undefined || size === undefined) return undefined;
  const start = Number(first);
  const end = Number(last) + 1;
  const total = size === '*' ? undefined : Number(size);
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || end <= start) return undefined;
  if (total !== undefined && (!Number.isSafeInteger(total) || end > total)) return undefined;
  return { start, end, total };
}

/**
 * Reads `BITS-Received-Content-Range`, the offset of the next byte that the server wants.
 *
 * @returns undefined for anything but a decimal number up to 2^53 - 1.
 */
export function parseOffset(value: string): number | undefined {
  const digits = value.trim();
  if (!/^\d+$/.test(digits)) return undefined;
  const offset = Number(digits);
  return Number.isSafeInteger(offset) ? offset : undefined;
}
