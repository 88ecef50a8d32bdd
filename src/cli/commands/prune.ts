import { unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { JobRecord, StoredJobs, StoreProblem } from '../../index.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';
import { parseDuration } from '../parse/duration.js';
import { say, sayWarning } from '../render/messages.js';
import { formatAge } from '../render/units.js';
import {
  addStateOption,
  type JobState,
  openJobState,
  type StateFlags,
} from '../state-directory.js';
import type { CommandContext } from './command-context.js';
import {
  addConnectionOptions,
  addOutputOptions,
  type ConnectionFlags,
  connectionOptions,
  type OutputFlags,
} from './common-options.js';
import { driverOf, sourceStatusOf } from './find-jobs.js';
import { type Farewell, giveUpJobs, tellFailure } from './give-up-jobs.js';
import { secretWarnings } from './network-options.js';
import { failureOf } from './run-uploads.js';

interface PruneFlags extends ConnectionFlags, OutputFlags, StateFlags {
  readonly olderThan?: string;
  readonly unreadable?: boolean;
}

/** Servers forget sessions after this time by default ([MC-BUP] §3.2.1). */
const DEFAULT_AGE_MS = 14 * 24 * 60 * 60 * 1000;

/** A server that has not answered by then is not waited for: its session ends by itself. */
const FREE_TIMEOUT_MS = 10_000;

const HELP = `
Gives up what cannot be gone on with: uploads of files that are gone or have changed since, and those
to which nothing happened for longer than the duration. What another process is uploading stays.
Each server is asked once to free its session.

Records that could not be read were set aside when they were found; they are listed on standard
error, and deleted with --unreadable. What this program did not set aside is never deleted.

Standard output gets the id of each upload that was given up; with --json an object of type "result"
with id, file, url, reason and freed, and one of type "problem" with where, message and removed.

Exit codes: 0 done, 1 something could not be removed, 2 the command line is wrong, 130 stopped by
SIGINT, 143 by SIGTERM.`;

/** Adds the options and the action of `prune`. */
export function definePrune(
  command: Command,
  { io, interruption, exitWith }: CommandContext,
): void {
  command
    .description('Give up uploads that cannot be gone on with.')
    .option('--older-than <duration>', 'age of what is too old: 12h, 7d (default: 14d)')
    .option('--unreadable', 'delete records that could not be read and were set aside');
  addOutputOptions(addStateOption(addConnectionOptions(command)))
    .addHelpText('after', HELP)
    .action(async (flags: PruneFlags) => exitWith(await prune(flags, io, interruption)));
}

async function prune(flags: PruneFlags, io: Io, interruption: Interruption): Promise<ExitCode> {
  const { olderThan } = flags;
  const maxAgeMs =
    olderThan === undefined ? DEFAULT_AGE_MS : parseDuration('--older-than', olderThan, MAX_AGE_MS);
  const given = connectionOptions(flags, io.env);
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  const state = openJobState(flags, io);
  let jobs: StoredJobs;
  try {
    jobs = await state.store.list();
  } catch (error) {
    tellFailure({ file: null, url: null }, failureOf(error), io, flags);
    return EXIT.failed;
  }
  const farewells: Farewell[] = [];
  for (const record of jobs.records) {
    const reason = await reasonToGiveUp(record, state, maxAgeMs);
    if (reason === undefined) continue;
    // The query of the URL is not known here; the session's id is what names it.
    const options = () => ({ ...ONCE, ...given, url: record.url });
    farewells.push({ record, reason, options });
  }
  const code = await giveUpJobs(farewells, { state, io, flags, interruption });
  const removed = await Promise.all(jobs.problems.map((problem) => settle(problem, flags, io)));
  return code === EXIT.done && removed.includes('failed') ? EXIT.failed : code;
}

/** A hundred years. */
const MAX_AGE_MS = 100 * 365 * 24 * 60 * 60 * 1000;

const ONCE = {
  retries: 0,
  answerTimeoutMs: FREE_TIMEOUT_MS,
  stallTimeoutMs: FREE_TIMEOUT_MS,
} as const;

async function reasonToGiveUp(
  record: JobRecord,
  { store }: JobState,
  maxAgeMs: number,
): Promise<string | undefined> {
  const ageMs = Date.now() - record.updatedAtMs;
  const source = await sourceStatusOf(record);
  const reason =
    source === 'gone'
      ? 'the file is gone'
      : source === 'changed'
        ? 'the file has changed since'
        : ageMs > maxAgeMs
          ? `nothing happened to it for ${formatAge(ageMs)}`
          : undefined;
  if (reason === undefined) return undefined;
  return (await driverOf(store, record)) === undefined ? reason : undefined;
}

/** The names that the file store gives to what it sets aside. */
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
      message = `${where} cannot be removed (${(cause as NodeJS.ErrnoException).code})`;
    }
  }
  const removed = outcome === 'removed';
  if (json) stdout.write(`${JSON.stringify({ type: 'problem', where, message, removed })}\n`);
  if (!removed) say(stderr, `bits-upload: warning: ${message}`);
  return outcome;
}
