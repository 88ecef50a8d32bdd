import { unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { Option } from 'commander';
import { codeOf } from '../../common/error-like.js';
import type { JobRecord, StoredJobs, StoreProblem } from '../../index.js';
import type { CliCommand, CommandContext, Io } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { sayWarning } from '../render/messages.js';
import { writeEvent } from '../render/text.js';
import { formatAge } from '../render/units.js';
import { type JobState, openJobState } from '../state-directory.js';
import { parseDuration } from '../values.js';
import { type Cancellation, cancelJobs } from './cancel-jobs.js';
import { ageOf, assertOneHost, driverOf, onlyOf, sourceStatusOf } from './find-jobs.js';
import { secretWarnings } from './network-options.js';
import { CONNECTION_OPTIONS, type Flags, HOST, OUTPUT_OPTIONS, STATE_OPTIONS } from './options.js';
import { reportError } from './report.js';
import { uploadOptions } from './upload-options.js';

interface PruneFlags extends Flags {
  readonly olderThan?: string;
  readonly unreadable?: boolean;
}

/** The default session time-out of servers ([MC-BUP] §3.2.1). */
const DEFAULT_AGE_MS = 14 * 24 * 60 * 60 * 1000;

const HUNDRED_YEARS_MS = 100 * 365 * 24 * 60 * 60 * 1000;

/** Each server is asked once and briefly: its sessions end by themselves. */
const ONCE: Flags = { retries: '0', timeout: '10s' };

const HELP = `
Discards uploads that cannot be resumed: those whose file is missing or has
changed, and those without any progress for longer than the given age. Uploads
that another process is running stay. Each server is asked once to free its
session. If it does not confirm that, the record is kept until it is too old.

Unreadable records are set aside when they are found; they are listed on
standard error, and deleted with --unreadable. Files that this program did not
set aside are never deleted.

Standard output gets the id of each discarded upload; with --json an object of
type "result" with id, file, url, reason and freed, and one of type "problem"
with where, message and removed.

Exit codes: 0 done, 1 something could not be removed, 2 the command line is
wrong, 4 a server or a proxy refuses the credentials, or requires some, 129
stopped by SIGHUP, 130 by SIGINT, 143 by SIGTERM.`;

export const PRUNE: CliCommand = {
  summary: 'discard uploads that cannot be resumed',
  examples: ['bits-upload prune', 'bits-upload prune --older-than 7d --host bits.example'],
  help: HELP,
  options: [
    new Option('--older-than <duration>', 'maximum age: 12h, 7d (default: 14d)'),
    new Option('--unreadable', 'delete records that could not be read and were set aside'),
    HOST,
    ...CONNECTION_OPTIONS,
    ...STATE_OPTIONS,
    ...OUTPUT_OPTIONS,
  ],
  run: prune,
};

async function prune(
  _: readonly string[],
  flags: PruneFlags,
  context: CommandContext,
): Promise<ExitCode> {
  const { io } = context;
  const { olderThan } = flags;
  const maxAgeMs =
    olderThan === undefined
      ? DEFAULT_AGE_MS
      : parseDuration('--older-than', olderThan, HUNDRED_YEARS_MS);
  const options = uploadOptions({ ...ONCE, ...flags }, context);
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  const state = openJobState(flags);
  let jobs: StoredJobs;
  try {
    jobs = await state.store.list();
  } catch (error) {
    return reportError(error, io, flags);
  }
  const cancellations: Cancellation[] = [];
  for (const record of onlyOf(flags.host, jobs.records)) {
    const reason = await reasonToDiscard(record, state, maxAgeMs);
    if (reason === undefined) continue;
    cancellations.push({ record, reason, isExpired: ageOf(record) > maxAgeMs });
  }
  assertOneHost(
    cancellations.map(({ record }) => record.url),
    options,
  );
  const code = await cancelJobs(cancellations, options, flags, state, context);
  const removed = await Promise.all(jobs.problems.map((problem) => settle(problem, flags, io)));
  return code === EXIT.done && removed.includes('failed') ? EXIT.failed : code;
}

async function reasonToDiscard(
  record: JobRecord,
  { store }: JobState,
  maxAgeMs: number,
): Promise<string | undefined> {
  const ageMs = ageOf(record);
  const source = await sourceStatusOf(record);
  const reason =
    source === 'gone'
      ? 'the file is missing'
      : source === 'changed'
        ? 'the file has changed'
        : ageMs > maxAgeMs
          ? `it made no progress for ${formatAge(ageMs)}`
          : undefined;
  if (reason === undefined) return undefined;
  return (await driverOf(store, record)) === undefined ? reason : undefined;
}

/** The names of files that the file store sets aside. */
const SET_ASIDE = /^[0-9a-f]{32}\.json\.unreadable-\d+$/;

async function settle(
  { where, error }: StoreProblem,
  { unreadable, json }: PruneFlags,
  { stdout, stderr }: Io,
): Promise<'removed' | 'kept' | 'failed'> {
  let outcome: 'removed' | 'kept' | 'failed' = 'kept';
  let { message } = error;
  if (unreadable && SET_ASIDE.test(basename(where))) {
    try {
      await unlink(where);
      outcome = 'removed';
    } catch (cause) {
      outcome = 'failed';
      message = `${where} cannot be removed (${codeOf(cause)})`;
    }
  }
  const removed = outcome === 'removed';
  if (json) writeEvent(stdout, { type: 'problem', where, message, removed });
  if (!removed) sayWarning(stderr, { message });
  return outcome;
}
