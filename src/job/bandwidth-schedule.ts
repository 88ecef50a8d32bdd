import { parseByteSize } from '../common/byte-size.js';
import { BitsArgumentError } from '../errors.js';

/** A speed at some time of each day, in minutes since midnight; one that ends before it begins wraps. */
export interface ScheduleEntry {
  readonly fromMinute: number;
  readonly toMinute: number;
  /** `Infinity`: unlimited. */
  readonly bytesPerSecond: number;
}

const ENTRY = /^([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)=(.+)$/;

const MINUTES_OF_A_DAY = 24 * 60;

/**
 * Reads entries such as `08:00-18:00=1MB/s`, separated by commas, semicolons or blanks.
 * @throws BITS_ERR_ARGUMENT
 */
export function parseSchedule(text: string): readonly ScheduleEntry[] {
  if (typeof text !== 'string') {
    throw new BitsArgumentError('bandwidth.schedule must be a string such as 08:00-18:00=1MB/s.');
  }
  return text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(parseEntry);
}

/** The speed at a moment of the day; of several entries the first one counts. */
export function rateAt(
  schedule: readonly ScheduleEntry[],
  otherwise: number,
  localTime: Pick<Date, 'getHours' | 'getMinutes'>,
): number {
  // By the clock on the wall: where that is set forward or back, an entry is an hour shorter or longer.
  const minute = localTime.getHours() * 60 + localTime.getMinutes();
  const entry = schedule.find(({ fromMinute, toMinute }) =>
    fromMinute < toMinute
      ? fromMinute <= minute && minute < toMinute
      : fromMinute <= minute || minute < toMinute,
  );
  return entry?.bytesPerSecond ?? otherwise;
}

function parseEntry(text: string): ScheduleEntry {
  const [, fromHour, fromMinute, toHour, toMinute, rate = ''] = ENTRY.exec(text) ?? [];
  const bytesPerSecond = parseRate(rate);
  const from = Number(fromHour) * 60 + Number(fromMinute);
  const to = Number(toHour) * 60 + Number(toMinute);
  const isTime = from < MINUTES_OF_A_DAY && to <= MINUTES_OF_A_DAY && from !== to;
  if (bytesPerSecond === undefined || !isTime) {
    throw new BitsArgumentError(
      `${JSON.stringify(text)} is no entry of a schedule: write a time of day and a speed, such as ` +
        '08:00-18:00=1MB/s or 22:00-06:00=unlimited.',
    );
  }
  return { fromMinute: from, toMinute: to, bytesPerSecond };
}

/** Reads `1MB/s`, `512KiB/s`, `1000/s` or `unlimited`; undefined for anything else, and for 0. */
function parseRate(text: string): number | undefined {
  if (text.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY;
  const rate = text.endsWith('/s') ? parseByteSize(text.slice(0, -2)) : undefined;
  return rate === 0 ? undefined : rate;
}
