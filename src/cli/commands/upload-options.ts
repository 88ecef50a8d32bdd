import { resolve } from 'node:path';
import { parseByteSize } from '../../common/byte-size.js';
import type { BandwidthOptions, TimeoutOptions, UploadOptions } from '../../index.js';
import {
  DEFAULTS,
  MAX_CONCURRENCY,
  MAX_FRAGMENT_BYTES,
  MIN_FRAGMENT_BYTES,
} from '../../internal.js';
import type { CommandContext, OutputStream } from '../context.js';
import { parseDuration, parseHeaders, parseSize, parseWholeNumber, UsageError } from '../values.js';
import { networkOptions } from './network-options.js';
import { DEFAULT_CONNECT_TIMEOUT, DEFAULT_TRANSFERS, type Flags } from './options.js';

/** @throws UsageError */
export function transfers({ transfers }: Flags): number | 'auto' {
  if (transfers === undefined) return DEFAULT_TRANSFERS;
  if (transfers === 'auto') return transfers;
  const number = /^\d+$/.test(transfers) ? Number(transfers) : 0;
  if (number >= 1 && number <= MAX_CONCURRENCY) return number;
  throw new UsageError(
    `--transfers takes auto or a whole number from 1 to ${MAX_CONCURRENCY}, not ${JSON.stringify(transfers)}`,
  );
}

/**
 * Speeds, each for a time of the day or, without one, for all other times.
 * @throws UsageError, BITS_ERR_ARGUMENT
 */
export function limitRate({ limitRate: text }: Flags): BandwidthOptions | undefined {
  if (text === undefined) return undefined;
  const entries = text.split(/[\s,;]+/).filter(Boolean);
  const [otherwise, ...others] = entries.filter((entry) => !entry.includes('='));
  if (others.length > 0 || entries.length === 0) {
    throw new UsageError(
      '--limit-rate takes one speed, and others with a time of the day before them',
    );
  }
  const schedule = entries.filter((entry) => entry !== otherwise).map(scheduleEntry);
  return {
    ...(otherwise !== undefined && { bytesPerSecond: parseRate(otherwise) }),
    ...(schedule.length > 0 && { schedule: schedule.join(',') }),
  };
}

function scheduleEntry(text: string): string {
  const [time = '', rate = ''] = text.split('=');
  const bytes = parseRate(rate);
  return `${time}=${Number.isFinite(bytes) ? `${bytes}/s` : 'unlimited'}`;
}

/** Also as curl has it: `500k`, `2M`. */
function parseRate(text: string): number {
  if (text.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY;
  const size = text.replace(/\/s$/i, '').replace(/([kmg])$/i, '$1iB');
  const bytes = parseByteSize(size);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new UsageError(
    `--limit-rate takes speeds such as 500KiB/s, 2MB/s or unlimited, not ${JSON.stringify(text)}`,
  );
}

/**
 * What the flags mean to the SDK: all options of an upload but its source, its URL and its store.
 * @throws UsageError
 */
export function uploadOptions(
  flags: Flags,
  { io, interruption }: CommandContext,
): Partial<UploadOptions> {
  const { header, resume } = flags;
  return {
    ...networkOptions(flags, { env: io.env, signal: interruption.signal }),
    ...replyOptions(flags, io.stdout),
    ...sendingOptions(flags),
    headers: header && parseHeaders(header),
    resume,
    signal: interruption.signal,
  };
}

/**
 * How a file is sent, whoever sends it: no secret is in it.
 * @throws UsageError
 */
export function sendingOptions(flags: Flags): Pick<
  UploadOptions,
  'timeouts' | 'fragmentBytes' | 'onUncertainFragment'
> & {
  readonly retry?: { readonly limit: number };
} {
  const { retries, fragmentSize, onUncertain } = flags;
  const sizes = { least: MIN_FRAGMENT_BYTES, most: MAX_FRAGMENT_BYTES };
  return {
    timeouts: timeouts(flags),
    ...(retries !== undefined && { retry: { limit: parseWholeNumber('--retries', retries) } }),
    ...(fragmentSize !== undefined && {
      fragmentBytes: parseSize('--fragment-size', fragmentSize, sizes),
    }),
    onUncertainFragment: onUncertain,
  };
}

/** @throws UsageError */
export function connectTimeoutMs({ connectTimeout = DEFAULT_CONNECT_TIMEOUT }: Flags) {
  return parseDuration('--connect-timeout', connectTimeout);
}

/**
 * `--timeout` limits one answer. A shorter limit also limits the time without a byte sent; a longer one
 * gives the application of the server more time for the last fragment.
 */
function timeouts(flags: Flags): TimeoutOptions {
  const { timeouts: defaults } = DEFAULTS;
  const connectMs = connectTimeoutMs(flags);
  if (flags.timeout === undefined) return { connectMs };
  const answerMs = parseDuration('--timeout', flags.timeout);
  return {
    connectMs,
    answerMs,
    stallMs: Math.min(defaults.stallMs, answerMs),
    replyMs: Math.max(defaults.replyMs, answerMs),
  };
}

/** Where the reply goes; nothing without --reply, --reply-file and --reply-dir. */
function replyOptions(flags: Flags, stdout: OutputStream): Pick<UploadOptions, 'reply'> {
  const { reply, replyFile, replyDir, replyOptional } = flags;
  if (!reply && replyFile === undefined && replyDir === undefined) return {};
  // Each file has its own place in the directory, which the directory stands for here.
  const file = replyFile ?? replyDir;
  return {
    reply: {
      to: file === undefined ? stdout : resolve(file),
      // Undefined would take the place of what a record says.
      ...(replyOptional !== undefined && { optional: replyOptional }),
      maxBytes: maxReplyBytes(flags),
    },
  };
}

/** @throws UsageError */
export function maxReplyBytes({ maxReplySize }: Flags): number | undefined {
  const range = { least: 1, most: Number.MAX_SAFE_INTEGER };
  return maxReplySize === undefined
    ? undefined
    : parseSize('--max-reply-size', maxReplySize, range);
}

/** @throws UsageError */
export function checkReplyFlags(flags: Flags): void {
  const { reply, replyFile, replyDir, json } = flags;
  const [first, second] = [
    reply && '--reply',
    replyFile !== undefined && '--reply-file',
    replyDir !== undefined && '--reply-dir',
  ].filter(Boolean);
  if (second !== undefined) throw new UsageError(`${first} and ${second} exclude each other`);
  if (reply && json) {
    throw new UsageError('--reply would mix the reply with the output of --json: use --reply-file');
  }
}
