import { UsageError } from '../usage-error.js';

const SIZE = /^(\d+(?:\.\d+)?)\s*(B|[KMG]i?B)?$/i;

const UNIT_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/**
 * Reads `128KiB`, `4MiB`, `1.5MB` or a number of bytes.
 * @param option its name, for the message
 * @throws UsageError for anything else, and for sizes outside of the range
 */
export function parseSize(
  option: string,
  text: string,
  range: { readonly least: number; readonly most: number },
): number {
  const [, digits, unit = 'B'] = SIZE.exec(text.trim()) ?? [];
  const unitBytes = UNIT_BYTES[unit.toLowerCase()];
  if (digits === undefined || unitBytes === undefined) {
    throw new UsageError(
      `${option} takes a size such as 128KiB, 4MiB, 1.5MB or 5242880 (bytes), ` +
        `not ${JSON.stringify(text)}`,
    );
  }
  const bytes = Math.round(Number(digits) * unitBytes);
  if (bytes < range.least || bytes > range.most) {
    throw new UsageError(
      `${option} must be between ${range.least} and ${range.most} bytes, not ${bytes}`,
    );
  }
  return bytes;
}
