import { UsageError } from '../usage-error.js';

/**
 * Reads a whole number without sign.
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
    throw new UsageError(
      `${option} takes a whole number from 0 to ${most}, not ${JSON.stringify(text)}`,
    );
  }
  return value;
}
