import { UsageError } from '../usage-error.js';

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/i;

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Timers of Node cannot be longer: 24.8 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Reads `500ms`, `3s`, `5m`, `1h` or `2d` as milliseconds.
 *
 * A unit must be there: other programs take a bare number for seconds, this package for
 * milliseconds.
 * @param option its name, for the message
 * @throws UsageError for anything else, for no time at all, and for more than `mostMs`
 */
export function parseDuration(option: string, text: string, mostMs = MAX_TIMER_MS): number {
  const [, digits, unit = ''] = DURATION.exec(text.trim()) ?? [];
  const unitMs = UNIT_MS[unit.toLowerCase()];
  if (digits === undefined || unitMs === undefined) {
    throw new UsageError(
      `${option} takes a duration such as 500ms, 3s, 5m, 1h or 2d, not ${JSON.stringify(text)}`,
    );
  }
  const durationMs = Math.round(Number(digits) * unitMs);
  if (durationMs < 1 || durationMs > mostMs) {
    const most = `${Math.floor(mostMs / 3_600_000)}h`;
    throw new UsageError(`${option} must be between 1ms and ${most}, not ${JSON.stringify(text)}`);
  }
  return durationMs;
}
