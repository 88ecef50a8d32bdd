import { Option } from 'commander';
import type { Priority } from '../../index.js';
import {
  DEFAULTS,
  MAX_CONCURRENCY,
  MAX_FRAGMENT_BYTES,
  MIN_FRAGMENT_BYTES,
  PRIORITIES,
} from '../../internal.js';
import { formatBytes, formatClock } from '../render/units.js';
import { another, UsageError } from '../values.js';
import { NETWORK_OPTIONS, type NetworkFlags } from './network-flags.js';

/** The options of commands that send files, and what others share with them, as commander parses them. */
export interface Flags extends NetworkFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** How often the flag is given. */
  readonly verbose?: number;
  readonly stats?: string;
  readonly logFile?: string;
  readonly trace?: string;
  readonly connectTimeout?: string;
  readonly timeout?: string;
  readonly retries?: string;
  readonly header?: readonly string[];
  readonly fragmentSize?: string;
  readonly onUncertain?: 'resend' | 'restart';
  readonly limitRate?: string;
  readonly maxTime?: string;
  readonly transfers?: string;
  readonly failFast?: boolean;
  readonly dryRun?: boolean;
  readonly priority?: Priority;
  readonly credentials?: string;
  readonly recursive?: boolean;
  readonly followLinks?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly filesFrom?: string;
  /** The paths of `--files-from` end in NUL. */
  readonly null?: boolean;
  readonly manifest?: string;
  readonly size?: string;
  readonly spoolSize?: string;
  readonly checksum?: 'sha256';
  readonly skipExisting?: boolean;
  /** Of put: false after `--no-resume`, else true. */
  readonly resume?: boolean;
  readonly removeSource?: boolean;
  readonly reply?: boolean;
  readonly replyFile?: string;
  readonly replyDir?: string;
  readonly replyOptional?: boolean;
  readonly maxReplySize?: string;
  readonly url?: string;
  readonly host?: string;
  readonly stateDir?: string;
  readonly trustStateDir?: boolean;
  readonly redis?: string;
  readonly queue?: string;
}

export const JSON_OUTPUT = new Option('--json', 'one JSON object a line on standard output');

/** The program itself writes the trace, for every command. */
export const TRACE = new Option(
  '--trace <file>',
  'write every packet and answer to a new file, for a bug report; it holds no secrets',
);

export const OUTPUT_OPTIONS: readonly Option[] = [
  TRACE,
  JSON_OUTPUT,
  new Option('-q, --quiet', 'no progress; only warnings and errors'),
];

/** For the commands that upload. */
const VERBOSE_OPTIONS: readonly Option[] = [
  new Option(
    '-v, --verbose',
    'say when an upload begins, waits, is retried; -vv: each answer',
  ).argParser((_, times: number | undefined) => (times ?? 0) + 1),
  new Option('--stats <duration>', 'in a pipe, say from time to time how far all files are: 30s'),
  new Option(
    '--log-file <file>',
    'add what -v says to a file, with the time; -vv adds each answer',
  ),
];

export const STATE_OPTIONS: readonly Option[] = [
  new Option(
    '--state-dir <dir>',
    'directory for the records of unfinished uploads (default: that of your system for ' +
      'application data)',
  ),
  new Option(
    '--trust-state-dir',
    'use this directory even if it belongs to another user, for network shares that show other ' +
      'owners: whoever can write there can upload your files anywhere',
  ),
];

export const DEFAULT_CONNECT_TIMEOUT = '30s';

export const TIMEOUT_OPTIONS: readonly Option[] = [
  new Option(
    '--connect-timeout <duration>',
    'how long to wait for a server that has never answered: 500ms, 3s, 5m or 1h ' +
      `(default: ${DEFAULT_CONNECT_TIMEOUT})`,
  ),
  new Option(
    '--timeout <duration>',
    'time limit for one answer: 500ms, 3s, 5m or 1h ' +
      `(default: ${minutes(DEFAULTS.timeouts.answerMs)}, and ` +
      `${minutes(DEFAULTS.timeouts.stallMs)} without a byte sent)`,
  ),
  new Option(
    '--retries <n>',
    'retries in a row without progress (default: as many as fit into ' +
      `${minutes(DEFAULTS.timeouts.noProgressMs)})`,
  ),
];

export const HEADER = new Option(
  '-H, --header <header>',
  "'Name: value', sent with every request; can be given several times",
).argParser(another);

/** How to reach a server: for every command that sends packets. No record holds any of it. */
export const CONNECTION_OPTIONS: readonly Option[] = [
  ...TIMEOUT_OPTIONS,
  HEADER,
  ...NETWORK_OPTIONS,
];

const ON_UNCERTAIN = new Option(
  '--on-uncertain <action>',
  'if it is unknown whether a fragment arrived, send it again, or start over for servers that ' +
    `would store it twice; by default ${DEFAULTS.onUncertainFragment}`,
).choices(['resend', 'restart']);

export const FRAGMENT_OPTIONS: readonly Option[] = [
  new Option(
    '--fragment-size <size>',
    `fixed size of a fragment: 128KiB, 4MiB, 1.5MB or bytes, from ${formatBytes(MIN_FRAGMENT_BYTES)} ` +
      `to ${formatBytes(MAX_FRAGMENT_BYTES)} (default: adapted to the connection)`,
  ),
  ON_UNCERTAIN,
];

export const LIMIT_RATE = new Option(
  '--limit-rate <rate>',
  'maximum speed of all uploads together: 500KiB/s, 2M, or by time of day: ' +
    "'08:00-18:00=1MB/s,5MB/s' (default: no limit)",
);

export const DEFAULT_TRANSFERS = 4;

export const TRANSFERS = new Option(
  '--transfers <n>',
  `uploads at once: 1 to ${MAX_CONCURRENCY}, or auto for as many as the server can take ` +
    `(default: ${DEFAULT_TRANSFERS})`,
);

const REPLY = new Option(
  '--reply',
  'write the reply of the server to standard output, instead of the URL',
);

export const REPLY_OPTIONAL = new Option(
  '--reply-optional',
  'succeed even if the server has no reply',
);

const MAX_REPLY_SIZE = new Option(
  '--max-reply-size <size>',
  'refuse a larger reply: 512MiB, 20GiB or bytes (default: 1.0 GiB)',
);

const REMOVE_SOURCE = new Option(
  '--remove-source',
  'remove each file when the server has acknowledged that it is stored',
);

/** How to send files, and what to do afterwards: of `put` and `resume`. */
export const UPLOAD_OPTIONS: readonly Option[] = [
  TRANSFERS,
  LIMIT_RATE,
  new Option('--max-time <duration>', 'stop after this time: 30m, 8h (default: no limit)'),
  ...FRAGMENT_OPTIONS,
  ...CONNECTION_OPTIONS,
  REPLY,
  new Option('--reply-file <path>', 'write the reply of the server to a new file'),
  REPLY_OPTIONAL,
  MAX_REPLY_SIZE,
  REMOVE_SOURCE,
  ...STATE_OPTIONS,
  ...OUTPUT_OPTIONS,
  ...VERBOSE_OPTIONS,
];

/** What else no record holds, and has to be given again to resume an upload. */
export const UNRECORDED_OPTIONS: readonly Option[] = [
  ON_UNCERTAIN,
  LIMIT_RATE,
  REPLY,
  MAX_REPLY_SIZE,
  REMOVE_SOURCE,
];

export const URL_OF_UPLOAD = new Option('--url <url>', 'the URL of the upload, if it has a query');

export const HOST = new Option('--host <host>', 'only uploads to this host');

/** Which files, and where they go: of all commands that take what `put` takes. */
export const SELECTION_OPTIONS: readonly Option[] = [
  new Option('-r, --recursive', 'upload the files in directories, and keep their tree'),
  new Option('--follow-links', 'upload what symbolic links in directories lead to'),
  new Option(
    '--include <glob>',
    "only files that match, such as '*.log' or 'src/**'; can be given several times",
  ).argParser(another),
  new Option(
    '--exclude <glob>',
    'not the files and directories that match; can be given several times',
  ).argParser(another),
  new Option(
    '--files-from <file>',
    'upload the files that this file lists, one a line; - is standard input',
  ),
  new Option('-0, --null', 'the paths in --files-from end in a NUL, as those of find -print0'),
  new Option(
    '--manifest <file>',
    'upload what this CSV file with the columns Source,Destination lists',
  ),
  new Option('--dry-run', 'only list what would be uploaded where'),
  new Option('--priority <priority>', 'in a queue with other uploads, by default normal').choices(
    PRIORITIES,
  ),
];

/** An option that users expect, and why a command has none: it says more than that it is unknown. */
export function refusedOption(command: string, flags: string, why: string): Option {
  return new Option(flags).hideHelp().argParser(() => {
    const name = flags.replace(', ', ' or ').replace(/ <.*/, '');
    throw new UsageError(`${command} has no option ${name}: ${why}`);
  });
}

function minutes(durationMs: number): string {
  return durationMs % 60_000 === 0 ? `${durationMs / 60_000}m` : formatClock(durationMs);
}
