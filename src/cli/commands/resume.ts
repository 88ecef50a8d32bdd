import { stat } from 'node:fs/promises';
import { resolve as resolvePath } from 'node:path';
import { Argument, Option } from 'commander';
import { BitsError, type JobRecord, type ReplyOptions, type UploadOptions } from '../../index.js';
import type { CliCommand, CommandContext, Io } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { sayWarning } from '../render/messages.js';
import { say } from '../render/text.js';
import { commandFor, connectionArguments, resumeArguments } from '../resume-command.js';
import { type JobState, nameOf, openJobState } from '../state-directory.js';
import { splitRepeated } from '../tree/planned.js';
import { openingError } from '../tree/walk.js';
import { UsageError } from '../values.js';
import {
  assertOneHost,
  driverOf,
  findJobs,
  onlyOf,
  sourceStatusOf,
  targetOf,
  urlOption,
  urlToComplete,
} from './find-jobs.js';
import { type Flags, HOST, UPLOAD_OPTIONS, URL_OF_UPLOAD } from './options.js';
import { UploadBatch, type UploadTask } from './upload-batch.js';
import { checkReplyFlags, maxReplyBytes, uploadOptions } from './upload-options.js';

interface ResumeFlags extends Flags {
  readonly all?: boolean;
}

const HELP = `
ID is the id of an unfinished upload, or its first characters if no other id
begins with them; bits-upload jobs lists the ids. Without an ID: the only
unfinished upload. --all skips uploads that another process is running.

Headers, the query of a URL and --remove-source are not stored: give them again.
--reply-optional and --max-reply-size change what put was given.
Credentials and headers are for one host: if the uploads go to several hosts,
choose one with --host. Standard output, standard error and --json are the same
as for put.

Exit codes: those of put; 6 also when the file is missing. 0 when --all finds
nothing to resume.`;

export const RESUME: CliCommand = {
  summary: 'resume unfinished uploads',
  examples: [
    'bits-upload resume',
    'bits-upload resume 0190163d',
    "bits-upload resume --all --header 'Authorization: Bearer …'",
  ],
  help: HELP,
  argument: new Argument('[ids...]'),
  usage: '[ID… | --all]',
  options: [new Option('--all', 'all unfinished uploads'), URL_OF_UPLOAD, HOST, ...UPLOAD_OPTIONS],
  run: resume,
};

async function resume(
  ids: readonly string[],
  flags: ResumeFlags,
  context: CommandContext,
): Promise<ExitCode> {
  checkFlags(ids, flags);
  const options = uploadOptions(flags, context);
  const state = openJobState(flags);
  const batch = new UploadBatch(flags, state, context);
  let chosen: readonly JobRecord[];
  try {
    chosen = await chooseJobs(ids, flags, state, context.io);
    assertOneHost(
      chosen.map(({ url }) => url),
      options,
    );
    if (flags.removeSource) assertOnePlace(chosen);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return batch.failedAtOnce(error);
  }
  const tasks: UploadTask[] = [];
  for (const record of chosen) {
    const target = targetOf(record);
    try {
      tasks.push({
        target,
        id: record.id,
        argumentsToGiveAgain: [
          ...resumeArguments(flags, urlToComplete(record)),
          ...(flags.replyFile === undefined ? [] : ['--reply-file', resolvePath(flags.replyFile)]),
        ],
        options: await optionsFor(record, flags, options, state),
        ...(flags.removeSource && { onStored: await removal(record, batch) }),
      });
    } catch (error) {
      batch.failed(target, failureOf(error));
    }
  }
  return batch.resume(tasks);
}

function checkFlags(ids: readonly string[], flags: ResumeFlags): void {
  const { all, host, url, reply, replyFile } = flags;
  if (all && ids.length > 0) throw new UsageError('--all and ids exclude each other');
  if (host !== undefined && !all) throw new UsageError('--host needs --all');
  const forOne = url !== undefined || reply || replyFile !== undefined;
  if (forOne && (all || ids.length > 1)) {
    throw new UsageError('--url, --reply and --reply-file can be given with only one ID');
  }
  checkReplyFlags(flags);
}

/** @throws UsageError; BITS_ERR_STORE */
async function chooseJobs(
  ids: readonly string[],
  { all, host, quiet }: ResumeFlags,
  state: JobState,
  { stderr }: Io,
): Promise<readonly JobRecord[]> {
  const jobs = await state.store.list();
  if (ids.length > 0) return findJobs(jobs, ids);
  const { records, problems } = jobs;
  for (const { error } of problems) sayWarning(stderr, error);
  if (records.length === 0 && !quiet) {
    say(stderr, `no unfinished uploads in ${await nameOf(state)}`);
  }
  if (!all) {
    if (records.length <= 1) return records;
    throw new UsageError(`there are ${records.length} unfinished uploads: give an ID, or --all`);
  }
  const free: JobRecord[] = [];
  for (const record of onlyOf(host, records)) {
    const driver = await driverOf(state.store, record);
    if (driver === undefined) free.push(record);
    else if (!quiet) {
      const { pid, hostName } = driver;
      say(
        stderr,
        `${record.source.path}: skipped, because process ${pid} on ${hostName} is uploading it`,
      );
    }
  }
  return free;
}

/** @throws UsageError for a file that would be removed before all its uploads are done */
function assertOnePlace(records: readonly JobRecord[]): void {
  const [again] = splitRepeated(records, ({ source }) => source.path).again;
  if (again === undefined) return;
  throw new UsageError(
    `${again.source.path} goes to several URLs, and --remove-source would remove it after the first ` +
      'one: leave out --remove-source',
  );
}

/** What is done when a file is stored that is then to be removed. */
async function removal(
  record: JobRecord,
  batch: UploadBatch,
): Promise<NonNullable<UploadTask['onStored']>> {
  const { path } = record.source;
  const stats = await stat(path, { bigint: true }).catch(async (error) => {
    throw await openingError(path, error);
  });
  const file = { path, stamp: stats };
  return async ({ closed }) => {
    await batch.removeSource(targetOf(record), file, closed);
    return undefined;
  };
}

/** @throws UsageError, BITS_ERR_SOURCE_CHANGED when it cannot be resumed */
async function optionsFor(
  record: JobRecord,
  flags: ResumeFlags,
  options: Partial<UploadOptions>,
  state: JobState,
): Promise<Partial<UploadOptions>> {
  const { id } = record;
  const place = urlOption(record, flags.url);
  const hasReply = options.reply !== undefined;
  if (record.reply?.to === 'stream' && !hasReply) {
    throw new UsageError(
      `the reply of upload ${id} was to go to standard output: give --reply or --reply-file`,
    );
  }
  if (hasReply && record.reply === undefined) {
    throw new UsageError(`upload ${id} was started without a reply`);
  }
  if ((await sourceStatusOf(record)) === 'gone') {
    const toCancel = commandFor(
      'cancel',
      id,
      state,
      connectionArguments(flags, urlToComplete(record)),
    );
    throw new BitsError(
      'BITS_ERR_SOURCE_CHANGED',
      `the file is missing: restore it, or free the session on the server with ${toCancel}`,
    );
  }
  return { ...options, ...place, reply: options.reply ?? replyOf(record, flags) };
}

/** That of the record, but for what the flags change. */
function replyOf({ reply }: JobRecord, flags: ResumeFlags): ReplyOptions | undefined {
  if (reply === undefined) return undefined;
  const { file = 'memory', optional, overwrite, maxBytes } = reply;
  return {
    to: file,
    optional: flags.replyOptional ?? optional,
    overwrite,
    maxBytes: maxReplyBytes(flags) ?? maxBytes,
  };
}
