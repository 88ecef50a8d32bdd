import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { Argument, Option } from 'commander';
import type { FleetUploadOptions } from '../../bullmq.js';
import { isBitsError } from '../../index.js';
import type { CliCommand, CommandContext, Io } from '../context.js';
import { EXIT, type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type Failure, failureOf } from '../failure.js';
import { sayWarning, skippedLine, type UploadTarget } from '../render/messages.js';
import { say, writeEvent } from '../render/text.js';
import { formatBytes } from '../render/units.js';
import { ReplyDirectory } from '../tree/local-files.js';
import type { PlannedUpload, UploadPlan } from '../tree/planned.js';
import { UsageError } from '../values.js';
import {
  type Flags,
  FRAGMENT_OPTIONS,
  JSON_OUTPUT,
  REPLY_OPTIONAL,
  refusedOption,
  SELECTION_OPTIONS,
  TIMEOUT_OPTIONS,
} from './options.js';
import { planUploads } from './put-plan.js';
import { type Fleet, REDIS_OPTIONS, redisConnection, withFleet } from './redis-options.js';
import { reportFailure, reportStop } from './report.js';
import { checkReplyFlags, maxReplyBytes, sendingOptions } from './upload-options.js';

/** More in one transaction would keep the workers waiting. */
const AT_ONCE = 500;

/** What `put` has and a job cannot have that other machines do, at another time. */
const REFUSED: readonly (readonly [flags: string, why: string])[] = [
  [
    '--skip-existing',
    'it cannot ask the server, whose credentials the workers have. List what is missing with put --skip-existing --dry-run, and enqueue that',
  ],
  [
    '--remove-source',
    'whoever can write to Redis could have the workers delete files. Remove those of which bits-upload worker --json says job-done and "closed":"acknowledged"',
  ],
  [
    '--checksum <algorithm>',
    'a digest from now says nothing of the file that a worker reads later. Compute it in a job after the upload, with uploadFlowJob of the SDK',
  ],
  ['--reply', 'replies come on other machines. Use --reply-file or --reply-dir'],
];

const HELP = `
Adds one job for each file to the queue that bits-upload worker takes its jobs
from; see also bits-upload fleet. PATH, URL and the options that choose files
are those of put, but for standard input: Redis holds no files. The workers read
the files by the same paths, so every worker must see that disk, and the one of
--reply-dir.

No credentials are kept in Redis: the workers have them, by their name. A URL
with a query is refused, because it may be a token.

A file is in the queue when its line is on standard output: the id of its job,
the file and the URL. If some files could not be enqueued, run the command again
with those alone: a file that is enqueued twice is uploaded twice. If Redis is
lost on the way, the messages say which files may be in the queue, with the id.

Exit codes: 0 all files are in the queue, 1 Redis failed, or does not answer
within 10 s at the start or 30 s later, 2 the command line is wrong, 3 some
files are not in the queue, 130 stopped by SIGINT (Ctrl-C), 143 by SIGTERM.`;

export const ENQUEUE: CliCommand = {
  summary: 'leave uploads to the workers of a fleet',
  examples: [
    'bits-upload enqueue --redis redis://queue:6379 -r photos http://bits.example/',
    'bits-upload enqueue --redis redis://queue:6379 --manifest files.csv',
  ],
  help: HELP,
  argument: new Argument('[paths...]'),
  usage: 'PATH… URL',
  options: [
    ...REDIS_OPTIONS,
    ...SELECTION_OPTIONS,
    ...FRAGMENT_OPTIONS,
    ...TIMEOUT_OPTIONS,
    new Option('--credentials <name>', 'credentials of the workers (default: default)'),
    new Option('--reply-file <path>', 'the worker writes the reply of the server to this new file'),
    new Option(
      '--reply-dir <dir>',
      'a worker writes the reply to each file to a new file in this directory, with the same path as below the URL',
    ),
    REPLY_OPTIONAL,
    new Option('--max-reply-size <size>', 'refuse a larger reply: 512MiB, 20GiB or bytes'),
    JSON_OUTPUT,
    new Option('-q, --quiet', 'only warnings and errors'),
    ...REFUSED.map(([flags, why]) => refusedOption('enqueue', flags, why)),
  ],
  run: (paths, flags, context) =>
    withFleet(flags, context.io, (fleet) => enqueue(paths, flags, context, fleet)),
};

async function enqueue(
  paths: readonly string[],
  flags: Flags,
  context: CommandContext,
  fleet: Fleet,
): Promise<ExitCode> {
  const connection = redisConnection(flags);
  if (paths.includes('-')) {
    throw new UsageError(
      'enqueue takes no standard input, for Redis holds no files: store the data in a file that every worker sees',
    );
  }
  checkReplyFlags(flags);
  const plan = await planUploads(paths, flags, context);
  const shared = sharedOptions(plan, flags);
  for (const url of plan.urls) fleet.uploadFlowJob('check', { ...shared, url, source: '/' });
  const run = new Enqueueing(flags, shared, context.io);
  if (flags.dryRun) return run.enqueue(plan, context, undefined);
  const { queue, evictionPolicy, close } = await fleet.openUploadQueue(connection);
  try {
    if (evictionPolicy !== undefined) run.warnOfEviction(evictionPolicy);
    return await run.enqueue(plan, context, (uploads) => fleet.enqueueUploads(queue, uploads));
  } finally {
    await close();
  }
}

function sharedOptions({ isOneFile }: UploadPlan, flags: Flags): SharedOptions {
  const { priority, credentials, replyFile, replyDir, replyOptional, maxReplySize } = flags;
  if (replyFile !== undefined && !isOneFile) {
    throw new UsageError('--reply-file is for one file: use --reply-dir');
  }
  const lonely = replyOptional ? '--reply-optional' : maxReplySize && '--max-reply-size';
  const to = replyFile ?? replyDir;
  if (lonely && to === undefined) {
    throw new UsageError(`${lonely} needs --reply-file or --reply-dir`);
  }
  const reply = { optional: replyOptional, maxBytes: maxReplyBytes(flags) };
  return {
    ...sendingOptions(flags),
    reply: to === undefined ? undefined : { ...reply, to: resolve(to) },
    priority,
    credentials,
  };
}

type SharedOptions = Omit<FleetUploadOptions, 'url' | 'source'>;

type Enqueue = (uploads: readonly FleetUploadOptions[]) => Promise<unknown>;

/** One that is not in the queue yet. */
interface WaitingJob {
  readonly target: UploadTarget;
  readonly byteLength: number;
  readonly id: string;
  readonly upload: FleetUploadOptions;
}

/** Adds the files of a plan to the queue, and tells what became of each. */
class Enqueueing {
  readonly #flags: Flags;
  readonly #shared: SharedOptions;
  readonly #io: Io;
  readonly #failures: Failure[] = [];
  readonly #replies: ReplyDirectory | undefined;
  #waiting: WaitingJob[] = [];
  /** Redis did not add the last ones: no more is asked of it. */
  #isLost = false;
  #files = 0;
  #bytes = 0;

  constructor(flags: Flags, shared: SharedOptions, io: Io) {
    this.#flags = flags;
    this.#shared = shared;
    this.#io = io;
    const { replyDir } = flags;
    this.#replies = replyDir === undefined ? undefined : new ReplyDirectory(replyDir);
  }

  /** @param add undefined: only lists what would be added */
  async enqueue(
    plan: UploadPlan,
    { interruption }: CommandContext,
    add: Enqueue | undefined,
  ): Promise<ExitCode> {
    const { stdout, stderr } = this.#io;
    for await (const planned of plan.files) {
      if (interruption.reason !== undefined || this.#isLost) break;
      const { target } = planned;
      if (planned.kind === 'failed') this.#failed(target, failureOf(planned.error));
      else if (planned.kind === 'skipped') {
        if (!this.#flags.quiet) say(stderr, skippedLine(target, planned.reason));
        if (this.#flags.json) {
          writeEvent(stdout, { type: 'skipped', ...target, reason: planned.reason });
        }
      } else if (add === undefined) this.#planned(planned);
      else {
        await this.#wait(planned);
        if (this.#waiting.length >= AT_ONCE) await this.#flush(add);
      }
    }
    if (add !== undefined && !this.#isLost) await this.#flush(add);
    if (!this.#flags.quiet) {
      const what = add === undefined ? 'would be enqueued' : 'enqueued';
      const failed = this.#failures.length > 0 ? `, ${this.#failures.length} failed` : '';
      say(
        stderr,
        `${this.#files} ${this.#files === 1 ? 'file' : 'files'} of ${formatBytes(this.#bytes)} ${what}${failed}`,
      );
    }
    const { reason } = interruption;
    if (reason !== undefined) {
      return reportStop(reason, this.#io, ' before all files were enqueued');
    }
    if (this.#isLost) return EXIT.failed;
    return exitCodeOf(this.#failures, this.#files + this.#failures.length);
  }

  warnOfEviction(policy: string): void {
    const message = `Redis has maxmemory-policy ${policy} and may drop jobs when its memory is full: set it to noeviction`;
    sayWarning(this.#io.stderr, { message });
    if (this.#flags.json) {
      writeEvent(this.#io.stdout, { type: 'warning', file: null, code: 'redis-evicts', message });
    }
  }

  #planned({ target, byteLength = 0 }: PlannedUpload): void {
    this.#count(byteLength);
    if (this.#flags.json) {
      writeEvent(this.#io.stdout, { type: 'planned', ...target, bytes: byteLength });
    } else say(this.#io.stdout, `${target.file} -> ${target.url}`);
  }

  async #wait(planned: PlannedUpload): Promise<void> {
    const { target, url, file, byteLength = 0, segments } = planned;
    const id = randomUUID();
    const { reply } = this.#shared;
    try {
      const to = await this.#replies?.fileFor(segments);
      const upload: FleetUploadOptions = {
        ...this.#shared,
        ...(reply && to !== undefined && { reply: { ...reply, to } }),
        url,
        source: file?.path ?? '',
        jobOptions: { jobId: id },
      };
      this.#waiting.push({ target, byteLength, id, upload });
    } catch (error) {
      this.#failed(target, failureOf(error));
    }
  }

  async #flush(add: Enqueue): Promise<void> {
    const jobs = this.#waiting;
    this.#waiting = [];
    if (jobs.length === 0) return;
    try {
      await add(jobs.map(({ upload }) => upload));
    } catch (error) {
      if (!isBitsError(error, 'BITS_ERR_STORE')) throw error;
      this.#lost(jobs, failureOf(error));
      return;
    }
    for (const { target, byteLength, id } of jobs) {
      this.#count(byteLength);
      if (this.#flags.json) {
        writeEvent(this.#io.stdout, { type: 'enqueued', ...target, id, bytes: byteLength });
      } else say(this.#io.stdout, `${id}  ${target.file} -> ${target.url}`);
    }
  }

  /** Says of each what the user needs to know before the file is enqueued again. */
  #lost(jobs: readonly WaitingJob[], failure: Failure): void {
    this.#isLost = true;
    for (const { target, id } of jobs) {
      const message = `${failure.message} The file may be in the queue as job ${id}. Before you enqueue it again, run bits-upload fleet --cancel ${id}: if it says that the job is done, the file is uploaded.`;
      this.#failed(target, { ...failure, message });
    }
  }

  #failed(target: UploadTarget, failure: Failure): void {
    this.#failures.push(failure);
    reportFailure(target, failure, this.#io, this.#flags);
  }

  #count(bytes: number): void {
    this.#files++;
    this.#bytes += bytes;
  }
}
