import type { Command } from 'commander';
import {
  DEFAULTS,
  MAX_FRAGMENT_BYTES,
  MIN_FRAGMENT_BYTES,
  type UploadOptions,
} from '../../index.js';
import { parseDuration } from '../parse/duration.js';
import { parseHeaders } from '../parse/headers.js';
import { parseSize } from '../parse/size.js';
import { parseWholeNumber } from '../parse/whole-number.js';
import { formatBytes, formatClock } from '../render/units.js';
import {
  addNetworkOptions,
  type Environment,
  type NetworkFlags,
  networkArguments,
  networkOptions,
} from './network-options.js';

/** How to reach a server: for every command that sends something. No record holds any of it. */
export interface ConnectionFlags extends NetworkFlags {
  readonly timeout?: string;
  readonly retries?: string;
  readonly header?: readonly string[];
}

/** How to send a file. */
export interface TransferFlags extends ConnectionFlags {
  readonly fragmentSize?: string;
}

export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addConnectionOptions(command: Command): Command {
  command
    .option(
      '--timeout <duration>',
      'time for one answer: 500ms, 3s, 5m or 1h ' +
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
    "'Name: value', sent with every request; may be given again",
    (header: string, others: string[] | undefined) => [...(others ?? []), header],
  );
}

export function addTransferOptions(command: Command): Command {
  return addConnectionOptions(
    command.option(
      '--fragment-size <size>',
      `fixed size of a fragment: 128KiB, 4MiB, 1.5MB or bytes, from ${formatBytes(MIN_FRAGMENT_BYTES)} ` +
        `to ${formatBytes(MAX_FRAGMENT_BYTES)} (default: learnt from the server's answers)`,
    ),
  );
}

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'one JSON object a line on standard output')
    .option('--quiet', 'no progress; warnings and errors only');
}

/** @throws UsageError */
export function connectionOptions(
  flags: ConnectionFlags,
  env: Environment,
): Partial<UploadOptions> {
  const { timeout, retries, header } = flags;
  return {
    ...(timeout !== undefined && timeouts(parseDuration('--timeout', timeout))),
    ...(retries !== undefined && { retry: { limit: parseWholeNumber('--retries', retries) } }),
    ...(header !== undefined && { headers: parseHeaders(header) }),
    ...networkOptions(flags, env),
  };
}

/** @throws UsageError */
export function transferOptions(flags: TransferFlags, env: Environment): Partial<UploadOptions> {
  const { fragmentSize } = flags;
  const sizes = { least: MIN_FRAGMENT_BYTES, most: MAX_FRAGMENT_BYTES };
  return {
    ...(fragmentSize !== undefined && {
      fragmentBytes: parseSize('--fragment-size', fragmentSize, sizes),
    }),
    ...connectionOptions(flags, env),
  };
}

/**
 * The arguments that have to be given again; values that may be secrets are left for the user to
 * fill in.
 */
export function connectionArguments(flags: ConnectionFlags): string[] {
  const { timeout, retries, header } = flags;
  return [
    ...(timeout === undefined ? [] : ['--timeout', timeout]),
    ...(retries === undefined ? [] : ['--retries', retries]),
    ...(header ?? []).flatMap((line) => ['--header', `${line.slice(0, line.indexOf(':'))}: …`]),
    ...networkArguments(flags),
  ];
}

/**
 * One answer may take so long. A shorter time also bounds how long no byte of a request moves; it
 * does not cut short the work of the server's application on the last fragment, a longer one gives
 * it more time.
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

function minutes(durationMs: number): string {
  return durationMs % 60_000 === 0 ? `${durationMs / 60_000}m` : formatClock(durationMs);
}
