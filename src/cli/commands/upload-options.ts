import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { UploadOptions } from '../../index.js';
import { DEFAULTS, MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from '../../internal.js';
import type { CommandContext } from '../context.js';
import { formatBytes, formatClock } from '../render/units.js';
import { parseDuration, parseHeaders, parseSize, parseWholeNumber, UsageError } from '../values.js';
import {
  addNetworkOptions,
  type NetworkFlags,
  networkArguments,
  networkOptions,
} from './network-options.js';

/** How to reach a server: for every command that sends packets. No record holds any of it. */
export interface ConnectionFlags extends NetworkFlags {
  readonly timeout?: string;
  readonly retries?: string;
  readonly header?: readonly string[];
}

/** How to send a file. */
export interface TransferFlags extends ConnectionFlags {
  readonly fragmentSize?: string;
}

/** What happens to the reply of the server. */
export interface ReplyFlags {
  readonly reply?: boolean;
  readonly replyFile?: string;
  readonly replyOptional?: boolean;
}

export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addConnectionOptions(command: Command): Command {
  command
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
  return addNetworkOptions(addHeaderOption(command));
}

export function addHeaderOption(command: Command): Command {
  return command.option(
    '-H, --header <header>',
    "'Name: value', sent with every request; can be given several times",
    (header: string, others: string[] | undefined) => [...(others ?? []), header],
  );
}

export function addTransferOptions(command: Command): Command {
  return addConnectionOptions(
    command.option(
      '--fragment-size <size>',
      `fixed size of a fragment: 128KiB, 4MiB, 1.5MB or bytes, from ${formatBytes(MIN_FRAGMENT_BYTES)} ` +
        `to ${formatBytes(MAX_FRAGMENT_BYTES)} (default: adapted to the connection)`,
    ),
  );
}

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'one JSON object a line on standard output')
    .option('--quiet', 'no progress; only warnings and errors');
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
  const { timeout, retries, header, fragmentSize, resume } = flags;
  const sizes = { least: MIN_FRAGMENT_BYTES, most: MAX_FRAGMENT_BYTES };
  return {
    ...networkOptions(flags, io.env),
    ...replyOptions(flags, io.stdout),
    ...(timeout !== undefined && timeouts(parseDuration('--timeout', timeout))),
    ...(retries !== undefined && { retry: { limit: parseWholeNumber('--retries', retries) } }),
    ...(header !== undefined && { headers: parseHeaders(header) }),
    ...(fragmentSize !== undefined && {
      fragmentBytes: parseSize('--fragment-size', fragmentSize, sizes),
    }),
    ...(resume !== undefined && { resume }),
    signal: interruption.signal,
  };
}

/**
 * `--timeout` limits one answer. A shorter limit also limits the time without a byte sent; a longer one
 * gives the application of the server more time for the last fragment.
 */
function timeouts(answerMs: number): Partial<UploadOptions> {
  const { timeouts: defaults } = DEFAULTS;
  return {
    timeouts: {
      answerMs,
      stallMs: Math.min(defaults.stallMs, answerMs),
      replyMs: Math.max(defaults.replyMs, answerMs),
    },
  };
}

function replyOptions(
  { reply, replyFile, replyOptional }: ReplyFlags,
  stdout: CommandContext['io']['stdout'],
): Partial<UploadOptions> {
  if (!reply && replyFile === undefined) return {};
  return {
    reply: {
      to: replyFile === undefined ? stdout : resolve(replyFile),
      ...(replyOptional !== undefined && { optional: replyOptional }),
    },
  };
}

/** @throws UsageError */
export function checkReplyFlags({ reply, replyFile, json }: ReplyFlags & OutputFlags): void {
  if (reply && replyFile !== undefined) {
    throw new UsageError('--reply and --reply-file exclude each other');
  }
  if (reply && json) {
    throw new UsageError('--reply would mix the reply with the output of --json: use --reply-file');
  }
}

/** The arguments that have to be given again; the user has to fill in secrets. */
export function connectionArguments(flags: ConnectionFlags): string[] {
  const { timeout, retries, header } = flags;
  return [
    ...(timeout === undefined ? [] : ['--timeout', timeout]),
    ...(retries === undefined ? [] : ['--retries', retries]),
    ...(header ?? []).flatMap((line) => ['--header', `${line.slice(0, line.indexOf(':'))}: …`]),
    ...networkArguments(flags),
  ];
}
