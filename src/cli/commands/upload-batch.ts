import { onAbort } from '../../common/abort.js';
import {
  BitsAbortError,
  type UploadJob,
  type UploadProgress,
  type UploadState,
} from '../../index.js';
import type { Attempt } from '../../internal.js';
import type { CommandContext } from '../context.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type Failure, failureOf, withFlags } from '../failure.js';
import type { StopReason } from '../interruption.js';
import { BarReporter } from '../render/bar.js';
import { JsonLinesReporter } from '../render/json-lines.js';
import { LineReporter } from '../render/lines.js';
import type { Target } from '../render/messages.js';
import { Reporter } from '../render/reporter.js';
import { say } from '../render/text.js';
import { formatBytes } from '../render/units.js';
import { resumeCommand } from '../resume-command.js';
import type { JobState } from '../state-directory.js';
import { parseDuration } from '../values.js';
import { secretWarnings } from './network-options.js';
import type { OutputFlags, ReplyFlags, TransferFlags } from './upload-options.js';

/** One upload of a command. */
export interface UploadTask {
  readonly target: Target & { readonly file: string; readonly url: string };
  /** Of the record that is resumed. */
  readonly id?: string;
  /** The arguments that resume the upload, besides its id. */
  readonly argumentsToGiveAgain: readonly string[];
  readonly attempt: Attempt;
  /** Makes the job; an error is reported as the failure of the upload. */
  open(): UploadJob | Promise<UploadJob>;
}

type BatchFlags = TransferFlags & OutputFlags & ReplyFlags;

/** If the server has not answered by then, its session ends at its time-out. */
const MAX_FREE_SESSION_MS = 5000;

/** Uploads the files of a command one after the other, and reports what happens to them. */
export class UploadBatch {
  readonly reporter: Reporter;
  readonly #context: CommandContext;
  readonly #flags: BatchFlags;
  readonly #state: JobState;
  readonly #freeSessionMs: number;

  constructor(flags: BatchFlags, state: JobState, context: CommandContext) {
    this.#flags = flags;
    this.#state = state;
    this.#context = context;
    this.reporter = createReporter(flags, context);
    const answerMs = flags.timeout && parseDuration('--timeout', flags.timeout);
    this.#freeSessionMs = Math.min(MAX_FREE_SESSION_MS, answerMs || MAX_FREE_SESSION_MS);
    for (const warning of secretWarnings(flags)) this.reporter.warning(warning);
  }

  /**
   * A failed upload does not stop the others, unless they would fail in the same way.
   * @param earlier failures of files that are not among the tasks
   * @returns 0 when all files are stored; 2 when nothing was sent because of the arguments
   */
  async run(tasks: readonly UploadTask[], earlier: readonly Failure[] = []): Promise<ExitCode> {
    const { interruption } = this.#context;
    const failures = [...earlier];
    const skipped: UploadTask[] = [];
    const timer = this.#limitTime();
    for (const [index, task] of tasks.entries()) {
      const { attempt } = task;
      if (attempt.reasonToSkip !== undefined) {
        skipped.push(task);
        continue;
      }
      const rest = tasks.slice(index + 1);
      const failure = await this.#upload(task, rest);
      attempt.ended(failure);
      if (failure !== undefined) failures.push(failure);
      const { reason } = interruption;
      if (reason === undefined) continue;
      // The message of an upload that was stopped has said it, unless nobody reads the results.
      const isReported = failure?.code === 'BITS_ERR_ABORTED' && reason.by !== 'stdout';
      const unfinished = failure === undefined ? rest : [task, ...rest];
      if (!isReported && rest.length > 0) this.#sayUnfinished(unfinished, reason);
      break;
    }
    clearTimeout(timer);
    const { reason } = interruption;
    if (reason === undefined) failures.push(...this.#reportSkipped(skipped));
    return reason?.exitCode ?? exitCodeOf(failures, tasks.length + earlier.length);
  }

  #sayUnfinished(tasks: readonly UploadTask[], { by }: StopReason): void {
    const why = by === 'stdout' ? 'because standard output was closed' : `by ${by}`;
    const { stderr } = this.#context.io;
    say(stderr, `bits-upload: stopped ${why}; not uploaded: ${filesOf(tasks)}`);
  }

  #limitTime(): NodeJS.Timeout | undefined {
    const { maxTime } = this.#flags;
    if (maxTime === undefined) return undefined;
    return setTimeout(
      () => this.#context.interruption.stop({ by: '--max-time', exitCode: undefined }),
      parseDuration('--max-time', maxTime),
    );
  }

  #reportSkipped(skipped: readonly UploadTask[]): Failure[] {
    const reports = skipped.flatMap((task) => {
      const { target, id, attempt } = task;
      const reason = attempt.reasonToSkip;
      return reason ? [{ target, failure: failureOf(reason, this.#fate(id, task)) }] : [];
    });
    this.reporter.skipped(reports);
    return reports.map(({ failure }) => failure);
  }

  /** @returns why it failed; undefined: the file is stored */
  async #upload(task: UploadTask, notBegun: readonly UploadTask[]): Promise<Failure | undefined> {
    const { target } = task;
    const { reporter } = this;
    const { io, interruption } = this.#context;
    const { json, reply } = this.#flags;
    const last = new LastProgress();
    let job: UploadJob | undefined;
    reporter.begin(target);
    const ticking =
      reporter.tickEveryMs && setInterval(() => reporter.tick(), reporter.tickEveryMs);
    try {
      job = await task.open();
      this.#watch(job, task, last);
      const result = await job.start();
      reporter.done(target, result);
      if (!json && !reply) io.stdout.write(`${result.url}\n`);
      return undefined;
    } catch (error) {
      // A tick while the session is freed would draw over the message.
      clearInterval(ticking);
      const { reason } = interruption;
      const isStopped = reason !== undefined && error instanceof BitsAbortError;
      const known = failureOf(error, this.#fateOf(job, task));
      const failure = isStopped
        ? { ...known, message: stoppedMessage(reason, last, known, notBegun) }
        : known;
      // Nobody reads the messages when the output is closed.
      if (!isStopped || reason.by !== 'stdout') reporter.failed(target, failure);
      if (job !== undefined && !job.recorded && (isStopped || job.state === 'error')) {
        await this.#freeSession(job);
      }
      return failure;
    } finally {
      clearInterval(ticking);
    }
  }

  /** What can be done with a job that ended without success. */
  #fateOf(job: UploadJob | undefined, task: UploadTask): Partial<Failure> {
    if (job === undefined || job.state === 'init') return {};
    const { id, recorded } = job;
    return recorded ? this.#fate(id, task) : { id, resumable: false };
  }

  #fate(id: string | undefined, { argumentsToGiveAgain }: UploadTask): Partial<Failure> {
    if (id === undefined) return {};
    return {
      id,
      resumable: true,
      resumeCommand: resumeCommand(id, this.#state, argumentsToGiveAgain),
    };
  }

  #watch(job: UploadJob, { target, attempt }: UploadTask, last: LastProgress): void {
    const { reporter } = this;
    let isFirst = true;
    job.on('state', (state) => {
      attempt.entered(state);
      if (isFirst && job.resumed) {
        reporter.resumed(target, { id: job.id, progress: last.progress });
      }
      isFirst = false;
      // An abort ends in `suspended`; the state that it interrupted is the one to report.
      if (state !== 'suspended') last.state = state;
      reporter.state(state);
    });
    job.on('progress', (progress) => {
      last.progress = progress;
      reporter.progress(progress);
    });
    job.on('retry', (retry) => reporter.retry({ ...retry, error: failureOf(retry.error) }));
    job.on('warning', ({ code, message }) =>
      reporter.warning({ code, message: withFlags(message) }),
    );
  }

  /** Nobody can resume the upload, and its session would block the URL for the next attempt. */
  async #freeSession(job: UploadJob): Promise<void> {
    job.removeAllListeners();
    job.on('warning', (warning) => {
      if (warning.code === 'session-not-freed') this.reporter.warning(warning);
    });
    const limit = new AbortController();
    const giveUp = () => limit.abort();
    const timer = setTimeout(giveUp, this.#freeSessionMs);
    const { signal } = this.#context.interruption;
    const listening = signal.aborted ? undefined : onAbort(signal, giveUp);
    await job.cancel({ signal: limit.signal });
    listening?.[Symbol.dispose]();
    clearTimeout(timer);
  }
}

/** Shows progress as the flags say, or else as standard error can show it. */
function createReporter({ json, quiet }: OutputFlags, { io }: CommandContext): Reporter {
  const { stdout, stderr, env } = io;
  const now = (): number => performance.now();
  if (json) return new JsonLinesReporter(stdout, stderr, quiet ?? false);
  if (quiet) return new Reporter(stderr);
  if (!stderr.isTTY || env.TERM === 'dumb') return new LineReporter(stderr, now);
  // https://no-color.org: set and not empty.
  return new BarReporter(stderr, { color: !env.NO_COLOR, now });
}

/** Where an upload was when it ended. */
class LastProgress {
  state: UploadState = 'init';
  progress: UploadProgress | undefined;
}

function stoppedMessage(
  { by }: StopReason,
  { state, progress }: LastProgress,
  { resumable = false }: Failure,
  notBegun: readonly UploadTask[],
): string {
  const rest = notBegun.length === 0 ? '' : `; not begun: ${filesOf(notBegun)}`;
  if (state === 'close-session') {
    const what = resumable ? 'resume it to make sure' : 'check whether it is there';
    return `stopped by ${by} while the server was storing the file: ${what}${rest}`;
  }
  const { bytesAcknowledged = 0, bytesTotal = 0 } = progress ?? {};
  const where = progress
    ? ` after ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)}`
    : '';
  const advice = resumable ? '' : '; run the same command to upload it again';
  return `stopped by ${by}${where}: the file is not complete on the server${advice}${rest}`;
}

function filesOf(tasks: readonly UploadTask[]): string {
  return tasks.map(({ target }) => target.file).join(', ');
}
