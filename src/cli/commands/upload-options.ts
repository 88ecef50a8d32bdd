import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { parseByteSize } from '../../common/byte-size.js';
import type { BandwidthOptions, TimeoutOptions, UploadOptions } from '../../index.js';
import {
  DEFAULTS,
  MAX_CONCURRENCY,
  MAX_FRAGMENT_BYTES,
  MIN_FRAGMENT_BYTES,
} from '../../internal.js';
import type { CommandContext } from '../context.js';
import { formatBytes, formatClock } from '../render/units.js';
import {
  another,
  parseDuration,
  parseHeaders,
  parseSize,
  parseWholeNumber,
  UsageError,
} from '../values.js';
import {
  addNetworkOptions,
  type NetworkFlags,
  networkArguments,
  networkOptions,
} from './network-options.js';

/** How to reach a server: for every command that sends packets. No record holds any of it. */
export interface ConnectionFlags extends NetworkFlags {
  readonly connectTimeout?: string;
  readonly timeout?: string;
  readonly retries?: string;
  readonly header?: readonly string[];
}

/** How to send a file. */
export interface TransferFlags extends ConnectionFlags {
  readonly fragmentSize?: string;
  readonly limitRate?: string;
  readonly maxTime?: string;
  readonly onUncertain?: 'resend' | 'restart';
}

/** How to send many files. */
export interface BatchFlags {
  readonly transfers?: string;
  readonly failFast?: boolean;
  readonly dryRun?: boolean;
}

export interface RemoveFlags {
  readonly removeSource?: boolean;
}

export interface HostFlags {
  readonly host?: string;
}

/** What happens to the reply of the server. */
export interface ReplyFlags {
  readonly reply?: boolean;
  readonly replyFile?: string;
  readonly replyDir?: string;
  readonly replyOptional?: boolean;
  readonly maxReplySize?: string;
}

export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** How often the flag is given. */
  readonly verbose?: number;
  readonly stats?: string;
  readonly logFile?: string;
}

export function addConnectionOptions(command: Command): Command {
  return addNetworkOptions(addHeaderOption(addTimeoutOptions(command)));
}

export function addTimeoutOptions(command: Command): Command {
  return command
    .option(
      '--connect-timeout <duration>',
      'how long to wait for a server that has never answered: 500ms, 3s, 5m or 1h ' +
        `(default: ${DEFAULT_CONNECT_TIMEOUT})`,
    )
    .option(
      '--timeout <duration>',
      'time limit for one answer: 500ms, 3s, 5m or 1h ' +
        `(default: ${minutes(DEFAULTS.timeouts.answerMs)}, and ` +
        `${minutes(DEFAULTS.timeouts.stallMs)} without a byte sent)`,
    )
    .option(
      '--retries <n>',
      'retries in a row without progress (default: as many as fit into ' +
        `${minutes(DEFAULTS.timeouts.noProgressMs)})`,
    );
}

export function addHeaderOption(command: Command): Command {
  return command.option(
    '-H, --header <header>',
    "'Name: value', sent with every request; can be given several times",
    another,
  );
}

export function addTransferOptions(command: Command): Command {
  addLimitRateOption(addFragmentOptions(command)).option(
    '--max-time <duration>',
    'stop after this time: 30m, 8h (default: no limit)',
  );
  return addConnectionOptions(command);
}

export function addFragmentOptions(command: Command): Command {
  return command
    .option(
      '--fragment-size <size>',
      `fixed size of a fragment: 128KiB, 4MiB, 1.5MB or bytes, from ${formatBytes(MIN_FRAGMENT_BYTES)} ` +
        `to ${formatBytes(MAX_FRAGMENT_BYTES)} (default: adapted to the connection)`,
    )
    .addOption(
      new Option(
        '--on-uncertain <action>',
        'if it is unknown whether a fragment arrived, send it again, or start over for servers that ' +
          `would store it twice; by default ${DEFAULTS.onUncertainFragment}`,
      ).choices(['resend', 'restart']),
    );
}

export function addLimitRateOption(command: Command): Command {
  return command.option(
    '--limit-rate <rate>',
    'maximum speed of all uploads together: 500KiB/s, 2M, or by time of day: ' +
      "'08:00-18:00=1MB/s,5MB/s' (default: no limit)",
  );
}

export function addBatchOptions(command: Command): Command {
  return command.option(
    '--transfers <n>',
    `uploads at once: 1 to ${MAX_CONCURRENCY}, or auto for as many as the server can take ` +
      `(default: ${DEFAULT_TRANSFERS})`,
  );
}

/** @throws UsageError */
export function transfers({ transfers }: BatchFlags): number | 'auto' {
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
export function limitRate({ limitRate: text }: TransferFlags): BandwidthOptions | undefined {
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

export function addReplyOptions(command: Command): Command {
  return command
    .option('--reply', 'write the reply of the server to standard output, instead of the URL')
    .option('--reply-file <path>', 'write the reply of the server to a new file')
    .option(
      '--max-reply-size <size>',
      'refuse a larger reply: 512MiB, 20GiB or bytes (default: 1.0 GiB)',
    );
}

const DEFAULT_CONNECT_TIMEOUT = '30s';

const DEFAULT_TRANSFERS = 4;

export function addRemoveOption(command: Command): Command {
  return command.option(
    '--remove-source',
    'remove each file when the server has acknowledged that it is stored',
  );
}

export function addHostOption(command: Command): Command {
  return command.option('--host <host>', 'only uploads to this host');
}

export function addOutputOptions(command: Command): Command {
  return addTraceOption(command)
    .option('--json', 'one JSON object a line on standard output')
    .option('-q, --quiet', 'no progress; only warnings and errors');
}

/** The program itself writes the trace, for every command. */
export function addTraceOption(command: Command): Command {
  return command.option(
    '--trace <file>',
    'write every packet and answer to a new file, for a bug report; it holds no secrets',
  );
}

/** For the commands that upload. */
export function addVerboseOption(command: Command): Command {
  return command
    .option(
      '-v, --verbose',
      'say when an upload begins, waits, is retried; -vv: each answer',
      (_: string, times: number | undefined) => (times ?? 0) + 1,
    )
    .option('--stats <duration>', 'in a pipe, say from time to time how far all files are: 30s')
    .option('--log-file <file>', 'add what -v says to a file, with the time; -vv adds each answer');
}

function minutes(durationMs: number): string {
  return durationMs % 60_000 === 0 ? `${durationMs / 60_000}m` : formatClock(durationMs);
}

/**
 * What the flags mean to the SDK: all options of an upload but its source, its URL and its store.
 * @throws UsageError
 */
export function uploadOptions(
  flags: TransferFlags & ReplyFlags & { readonly resume?: boolean },
  { io, interruption }: CommandContext,
): Partial<UploadOptions> {
  const { header, resume } = flags;
  return {
    ...networkOptions(flags, { env: io.env, signal: interruption.signal }),
    ...replyOptions(flags, io.stdout),
    ...sendingOptions(flags),
    ...(header !== undefined && { headers: parseHeaders(header) }),
    ...(resume !== undefined && { resume }),
    signal: interruption.signal,
  };
}

/**
 * How a file is sent, whoever sends it: no secret is in it.
 * @throws UsageError
 */
export function sendingOptions(flags: TransferFlags): Pick<
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
    ...(onUncertain !== undefined && { onUncertainFragment: onUncertain }),
  };
}

/** @throws UsageError */
export function connectTimeoutMs({ connectTimeout = DEFAULT_CONNECT_TIMEOUT }: ConnectionFlags) {
  return parseDuration('--connect-timeout', connectTimeout);
}

/**
 * `--timeout` limits one answer. A shorter limit also limits the time without a byte sent; a longer one
 * gives the application of the server more time for the last fragment.
 */
function timeouts(flags: ConnectionFlags): TimeoutOptions {
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
export function replyOptions(
  { reply, replyFile, replyDir, replyOptional, maxReplySize }: ReplyFlags,
  stdout: CommandContext['io']['stdout'],
): Partial<UploadOptions> {
  if (!reply && replyFile === undefined && replyDir === undefined) return {};
  // Each file has its own place in the directory, which the directory stands for here.
  const file = replyFile ?? replyDir;
  return {
    reply: {
      to: file === undefined ? stdout : resolve(file),
      ...(replyOptional !== undefined && { optional: replyOptional }),
      ...(maxReplySize !== undefined && {
        maxBytes: parseSize('--max-reply-size', maxReplySize, {
          least: 1,
          most: Number.MAX_SAFE_INTEGER,
        }),
      }),
    },
  };
}

/** @throws UsageError */
export function checkReplyFlags(flags: ReplyFlags & OutputFlags): void {
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

/** The other arguments that resume an upload: a record does not hold them. */
export function transferArguments({
  onUncertain,
  limitRate,
  reply,
  maxReplySize,
  removeSource,
}: TransferFlags & ReplyFlags & RemoveFlags): string[] {
  return [
    ...(onUncertain === undefined ? [] : ['--on-uncertain', onUncertain]),
    ...(limitRate === undefined ? [] : ['--limit-rate', limitRate]),
    ...(reply ? ['--reply'] : []),
    ...(maxReplySize === undefined ? [] : ['--max-reply-size', maxReplySize]),
    ...(removeSource ? ['--remove-source'] : []),
  ];
}

/** The arguments that have to be given again; the user has to fill in secrets. */
export function connectionArguments(flags: ConnectionFlags): string[] {
  const { connectTimeout, timeout, retries, header } = flags;
  return [
    ...(connectTimeout === undefined ? [] : ['--connect-timeout', connectTimeout]),
    ...(timeout === undefined ? [] : ['--timeout', timeout]),
    ...(retries === undefined ? [] : ['--retries', retries]),
    ...(header ?? []).flatMap((line) => ['--header', `${line.slice(0, line.indexOf(':'))}: …`]),
    ...networkArguments(flags),
  ];
}
