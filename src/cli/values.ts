import { parseByteSize } from '../common/byte-size.js';
import { isHeaderValue, isToken, trimBlanks } from '../common/header-fields.js';

/** The command line is wrong; the program exits with 2. */
export class UsageError extends Error {
  override name = 'UsageError';
  readonly code = 'BITS_ERR_ARGUMENT';
  readonly retryable = false;
}

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/i;

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** The longest timer of Node: 24.8 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Reads `500ms`, `3s`, `5m`, `1h` or `2d` as milliseconds.
 *
 * A unit is required: other programs read a bare number as seconds, this package as milliseconds.
 * @param option its name, for the message
 * @throws UsageError for anything else, for zero, and for more than `mostMs`
 */
export function parseDuration(option: string, text: string, mostMs = MAX_TIMER_MS): number {
  const [, digits, unit = ''] = DURATION.exec(text.trim()) ?? [];
  const unitMs = UNIT_MS.get(unit.toLowerCase());
  if (digits === undefined || unitMs === undefined) {
    const isWithoutUnit = /^\d+(?:\.\d+)?$/.test(text.trim());
    throw new UsageError(
      `${option} takes a duration such as 500ms, 3s, 5m, 1h or 2d, not ${JSON.stringify(text)}` +
        (isWithoutUnit ? `: write ${text.trim()}s for seconds` : ''),
    );
  }
  const durationMs = Math.round(Number(digits) * unitMs);
  if (durationMs < 1 || durationMs > mostMs) {
    const most = `${Math.floor(mostMs / 3_600_000)}h`;
    throw new UsageError(`${option} must be between 1ms and ${most}, not ${JSON.stringify(text)}`);
  }
  return durationMs;
}

/**
 * Reads `128KiB`, `4MiB`, `1.5MB` or a number of bytes.
 * @param option its name, for the message
 * @throws UsageError for anything else, and for sizes out of the range
 */
export function parseSize(
  option: string,
  text: string,
  range: { readonly least: number; readonly most: number },
): number {
  const bytes = parseByteSize(text);
  if (bytes === undefined) {
    throw new UsageError(
      `${option} takes a size such as 128KiB, 4MiB, 1.5MB or 5242880 (bytes), ` +
        `not ${JSON.stringify(text)}`,
    );
  }
  if (bytes < range.least || bytes > range.most) {
    throw new UsageError(
      `${option} must be between ${range.least} and ${range.most} bytes, not ${bytes}`,
    );
  }
  return bytes;
}

/**
 * Reads a whole number without a sign.
 * @param option its name, for the message
 * @throws UsageError for anything else, and for numbers over `most`
 */
export function parseWholeNumber(
  option: string,
  text: string,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? '' : ` from 0 to ${most}`;
    throw new UsageError(`${option} takes a whole number${range}, not ${JSON.stringify(text)}`);
  }
  return value;
}

/**
 * Reads the values of `--header 'Name: value'`.
 *
 * No message repeats what was given: it may be a secret, even where a name is expected.
 * @throws UsageError for a missing colon, an invalid name or value, or a name that is given twice
 */
export function parseHeaders(given: readonly string[]): Record<string, string> {
  const headers = new Map<string, [name: string, value: string]>();
  for (const [index, line] of given.entries()) {
    const which = given.length === 1 ? '--header' : `--header number ${index + 1}`;
    const colon = line.indexOf(':');
    if (colon < 0) {
      throw new UsageError(`${which} must have the form 'Name: value', with a colon`);
    }
    const name = line.slice(0, colon);
    if (!isToken(name)) {
      throw new UsageError(
        `${which} has no valid name before its colon: use letters, digits and dashes, without spaces`,
      );
    }
    const value = trimBlanks(line.slice(colon + 1));
    if (!isHeaderValue(value)) {
      throw new UsageError(
        `the value of ${which} (${name}) has control or non-Latin-1 characters, such as a line break`,
      );
    }
    if (headers.has(name.toLowerCase())) {
      throw new UsageError(`--header ${name} is given twice: join its values with a comma`);
    }
    headers.set(name.toLowerCase(), [name, value]);
  }
  return Object.fromEntries(headers.values());
}

/** One more value of an option that can be given several times. */
export function another(value: string, others: readonly string[] = []): string[] {
  return [...others, value];
}
