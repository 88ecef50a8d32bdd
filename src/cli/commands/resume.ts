import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BitsError, type JobRecord, UploadJob, type UploadOptions } from '../../index.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';
import { createReporter } from '../render/create-reporter.js';
import { say } from '../render/messages.js';
import { cancelCommand, resumeCommand } from '../resume-command.js';
import {
  addStateOption,
  type JobState,
  nameOf,
  openJobState,
  type StateFlags,
} from '../state-directory.js';
import { UsageError } from '../usage-error.js';
import type { CommandContext } from './command-context.js';
import {
  addOutputOptions,
  addTransferOptions,
  connectionArguments,
  type OutputFlags,
  type TransferFlags,
  transferOptions,
} from './common-options.js';
import {
  driverOf,
  findJobs,
  HIDDEN_QUERY,
  sourceStatusOf,
  targetOf,
  urlOption,
} from './find-jobs.js';
import { secretWarnings } from './network-options.js';
import { type Errand, failureOf, runUploads } from './run-uploads.js';

interface ResumeFlags extends TransferFlags, OutputFlags, StateFlags {
  readonly all?: boolean;
  readonly url?: string;
  readonly reply?: boolean;
  readonly replyFile?: string;
}

const HELP = `
ID is the id of an unfinished upload, or a beginning that no other one has; bits-upload jobs lists
them. Without ID: the only one there is. What another process is uploading is left to it by --all.

Neither headers nor the query of a URL are kept: give them again. Standard output, standard error and
--json are as those of put.

Examples:
  bits-upload resume
  bits-upload resume 0190163d
  bits-upload resume --all --header 'Authorization: Bearer …'

Exit codes: those of put; 6 also when the file is gone. 0 when --all finds nothing to do.`;

/** Adds the options and the action of `resume`. */
export function defineResume(
  command: Command,
  { io, interruption, exitWith }: CommandContext,
): void {
  command
    .usage('[options] [ID… | --all]')
    .description('Go on with unfinished uploads.')
    .argument('[ids...]')
    .option('--all', 'all of them, one after the other')
    .option('--url <url>', 'the URL once more, when it has a query');
  addTransferOptions(command)
    .option('--reply', "write the server's reply to standard output, instead of the URL")
    .option('--reply-file <path>', "write the server's reply to another file than put was given");
  addOutputOptions(addStateOption(command))
    .addHelpText('after', HELP)
    .action(async (ids: string[], flags: ResumeFlags) => {
      exitWith(await resumeJobs(ids, flags, io, interruption));
    });
}

async function resumeJobs(
  ids: readonly string[],
  flags: ResumeFlags,
  io: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  checkFlags(ids, flags);
  const transfer = transferOptions(flags, io.env);
  const state = openJobState(flags, io);
  const reporter = createReporter(flags, io);
  for (const warning of secretWarnings(flags)) reporter.warning(warning);
  let chosen: readonly JobRecord[];
  try {
    chosen = await chooseJobs(ids, flags, state, io);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const failure = failureOf(error);
    reporter.failed({ file: null, url: null }, failure);
    return exitCodeOf([failure], 1);
  }
  const shared = { ...transfer, signal: interruption.signal };
  const errands = chosen.map((record): Errand => {
    const again = argumentsToGiveAgain(flags, record);
    return {
      target: targetOf(record),
      open: () => openJob(record, flags, shared, { state, io }),
      resumeCommand: (id) => resumeCommand(id, state, again),
    };
  });
  return runUploads(errands, {
    reporter,
    interruption,
    onDone: (url) => {
      if (!flags.json && !flags.reply) io.stdout.write(`${url}\n`);
    },
  });
}

function checkFlags(
  ids: readonly string[],
  { all, url, reply, replyFile, json }: ResumeFlags,
): void {
  if (all && ids.length > 0) throw new UsageError('--all and ids exclude each other');
  const forOne = url !== undefined || reply || replyFile !== undefined;
  if (forOne && (all || ids.length > 1)) {
    throw new UsageError('--url, --reply and --reply-file go with one ID only');
  }
  if (reply && replyFile !== undefined) {
    throw new UsageError('--reply and --reply-file exclude each other');
  }
  if (reply && json) {
    throw new UsageError('--reply would mix the reply with the output of --json: use --reply-file');
  }
}

/** @throws UsageError; BITS_ERR_STORE */
async function chooseJobs(
  ids: readonly string[],
  { all, quiet }: ResumeFlags,
  state: JobState,
  { stderr }: Io,
): Promise<readonly JobRecord[]> {
  const jobs = await state.store.list();
  if (ids.length > 0) return findJobs(jobs, ids);
  const { records, problems } = jobs;
  for (const { error } of problems) say(stderr, `bits-upload: warning: ${error.message}`);
  if (records.length === 0 && !quiet) {
    say(stderr, `no unfinished uploads in ${await nameOf(state)}`);
  }
  if (!all) {
    if (records.length <= 1) return records;
    throw new UsageError(`there are ${records.length} unfinished uploads: give an ID, or --all`);
  }
  const free: JobRecord[] = [];
  for (const record of records) {
    const driver = await driverOf(state.store, record);
    if (driver === undefined) free.push(record);
    else if (!quiet) {
      const { pid, hostName } = driver;
      say(stderr, `${record.source.path}: left to process ${pid} on ${hostName}, which uploads it`);
    }
  }
  return free;
}

async function openJob(
  record: JobRecord,
  flags: ResumeFlags,
  options: Partial<UploadOptions>,
  { state, io }: { readonly state: JobState; readonly io: Io },
): Promise<UploadJob> {
  const { id } = record;
  const { url, reply, replyFile } = flags;
  const place = urlOption(record, url);
  if (record.reply?.to === 'stream' && !reply && replyFile === undefined) {
    throw new UsageError(
      `the reply of upload ${id} was to go to standard output: give --reply or --reply-file`,
    );
  }
  if ((reply || replyFile !== undefined) && record.reply === undefined) {
    throw new UsageError(`upload ${id} was begun without a reply`);
  }
  await assertFileThere(record, cancelCommand(id, state, connectionToGiveAgain(flags, record)));
  return UploadJob.restore(state.store, id, {
    ...options,
    ...place,
    ...(reply && { reply: { to: io.stdout } }),
    ...(replyFile !== undefined && { reply: { to: resolve(replyFile) } }),
  });
}

async function assertFileThere(record: JobRecord, toGiveUp: string): Promise<void> {
  if ((await sourceStatusOf(record)) !== 'gone') return;
  throw new BitsError(
    'BITS_ERR_SOURCE_CHANGED',
    `the file is gone: bring it back, or free the server's session with ${toGiveUp}`,
  );
}

/** Of the command that is running now: it may be stopped as well. */
function argumentsToGiveAgain(flags: ResumeFlags, record: JobRecord): string[] {
  return [
    ...connectionToGiveAgain(flags, record),
    ...(flags.reply ? ['--reply'] : []),
    ...(flags.replyFile === undefined ? [] : ['--reply-file', resolve(flags.replyFile)]),
  ];
}

function connectionToGiveAgain(flags: ResumeFlags, record: JobRecord): string[] {
  return [
    ...connectionArguments(flags),
    ...(record.queryHash === undefined ? [] : ['--url', `${record.url}${HIDDEN_QUERY}`]),
  ];
}
