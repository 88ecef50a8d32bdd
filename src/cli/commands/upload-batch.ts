import { onAbort } from '../../common/abort.js';
import { Deferred } from '../../common/deferred.js';
import {
  BitsAbortError,
  type BitsError,
  type QueuedUploadOptions,
  type UploadJob,
  type UploadProgress,
  UploadQueue,
  type UploadResult,
  type UploadState,
} from '../../index.js';
import type { CommandContext } from '../context.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type Failure, failureOf, withFlags } from '../failure.js';
import { httpsHint } from '../https-hint.js';
import type { StopReason } from '../interruption.js';
import {
  firstNames,
  type Refusal,
  type SkipReason,
  type Target,
  type UploadTarget,
} from '../render/messages.js';
import type { Reporter } from '../render/reporter.js';
import { say } from '../render/text.js';
import { formatBytes } from '../render/units.js';
import { commandFor } from '../resume-command.js';
import type { JobState } from '../state-directory.js';
import type { FoundFile } from '../tree/file-stamp.js';
import { removeFile } from '../tree/local-files.js';
import { parseDuration } from '../values.js';
import { createReporter } from './create-reporter.js';
import { secretWarnings } from './network-options.js';
import type { Flags } from './options.js';
import { connectTimeoutMs, limitRate, transfers } from './upload-options.js';

/** One upload of a command. */
export interface UploadTask {
  readonly target: UploadTarget;
  /** Of the record that is resumed. */
  readonly id?: string;
  /** The arguments that resume the upload, besides its id. */
  readonly argumentsToGiveAgain: readonly string[];
  /** For a record that is resumed: what differs from it. */
  readonly options: Partial<QueuedUploadOptions>;
  /**
   * Called as soon as the file is stored; that is reported when what it returns resolves, with the SHA-256
   * of the local file if there is one.
   */
  readonly onStored?: (result: UploadResult) => Promise<string | undefined> | undefined;
}

/** If the server has not answered by then, its session ends at its time-out. */
const MAX_FREE_SESSION_MS = 5000;

/** So many tasks are taken ahead of those that run. */
const MAX_AHEAD = 64;

/** Stands for all files that the same command would send when it is given again. */
const NOT_BEGUN = {
  code: 'BITS_ERR_ABORTED',
  message: 'not begun',
  retryable: true,
  resumable: true,
} as const satisfies Failure;

/** An upload that has not ended. */
interface Entry {
  readonly task: UploadTask;
  readonly last: LastProgress;
  isBegun: boolean;
}

/** Uploads the files of a command, several at once, and reports what happens to them. */
export class UploadBatch {
  readonly reporter: Reporter;
  readonly #context: CommandContext;
  readonly #flags: Flags;
  readonly #state: JobState;
  readonly #queue: UploadQueue;
  readonly #freeSessionMs: number;
  readonly #startedMs = performance.now();
  readonly #entries = new Map<UploadJob, Entry>();
  #room: Deferred<void> | undefined;
  /** What remains to be done for uploads that have ended. */
  readonly #settling = new Set<Promise<void>>();
  readonly #failures: Failure[] = [];
  readonly #notBegun: UploadTask[] = [];
  readonly #stopped: { readonly task: UploadTask; readonly failure: Failure }[] = [];
  readonly #refusals: Refusal[] = [];
  readonly #skipped = new Map<SkipReason, number>();
  readonly #repeated: string[] = [];
  #planned = 0;
  #isAllFound = false;
  #succeeded = 0;
  #bytes = 0;
  #bytesSent = 0;

  /** @throws UsageError */
  constructor(flags: Flags, state: JobState, context: CommandContext) {
    this.#flags = flags;
    this.#state = state;
    this.#context = context;
    this.reporter = createReporter(flags, context);
    const answerMs = flags.timeout && parseDuration('--timeout', flags.timeout);
    this.#freeSessionMs = Math.min(MAX_FREE_SESSION_MS, answerMs || MAX_FREE_SESSION_MS);
    this.#queue = new UploadQueue({
      concurrency: transfers(flags),
      defaults: { store: state.store },
      bandwidth: limitRate(flags),
      unreachableAfterMs: connectTimeoutMs(flags),
    });
    for (const warning of secretWarnings(flags)) this.reporter.warning(warning);
  }

  /** A file that cannot be uploaded. */
  failed(target: Target, failure: Failure): void {
    this.reporter.failed(target, failure);
    this.#fail(failure);
  }

  /** The whole command failed before anything was sent. */
  failedAtOnce(error: unknown): ExitCode {
    const failure = failureOf(error);
    this.reporter.failed({ file: null, url: null }, failure);
    return exitCodeOf([failure], 1);
  }

  /** A file that is not sent, though nothing is wrong with it. */
  skipped(target: Target, reason: SkipReason): void {
    this.reporter.skippedFile(target, reason);
    this.#skipped.set(reason, this.#skippedFor(reason) + 1);
    if (reason === 'repeated' && target.file !== null) this.#repeated.push(target.file);
  }

  /**
   * Removes a file that is stored, or warns that it stays.
   * @returns whether it is removed
   */
  async removeSource(
    target: Target,
    file: FoundFile,
    closed: UploadResult['closed'],
  ): Promise<boolean> {
    const why =
      closed === 'acknowledged'
        ? await removeFile(file)
        : 'the server has not acknowledged that it is stored';
    if (why === undefined) return true;
    const message = `${target.file}: not removed: ${why}`;
    this.reporter.warning({ code: 'source-kept', message }, target);
    return false;
  }

  /** A file that would be sent if this were no dry run. */
  planned(target: UploadTarget, byteLength: number | undefined): void {
    const { file, url } = target;
    this.reporter.planned(target, byteLength);
    this.#planned += 1;
    this.#bytes += byteLength ?? 0;
    if (this.#flags.json) return;
    const size = byteLength === undefined ? '' : ` (${formatBytes(byteLength)})`;
    say(this.#context.io.stdout, `${file} -> ${url}${size}`);
  }

  /**
   * Uploads each file when it is its turn. A failed upload does not stop the others, unless they would
   * fail in the same way.
   * @returns 0 when all files are stored; 2 when nothing was sent because of the arguments
   */
  upload(tasks: Iterable<UploadTask> | AsyncIterable<UploadTask>): Promise<ExitCode> {
    return this.#run(async () => {
      for await (const task of tasks) {
        await this.#untilRoom();
        if (this.#context.interruption.reason !== undefined) this.#notBegun.push(task);
        else this.#add(task);
      }
      this.#isAllFound = this.#context.interruption.reason === undefined;
      this.reporter.allFound();
    });
  }

  /** False when the command was stopped before it had looked at all files. */
  get isAllFound(): boolean {
    return this.#isAllFound;
  }

  /** As {@link upload}, of uploads of which the store has a record. */
  resume(tasks: readonly UploadTask[]): Promise<ExitCode> {
    return this.#run(async () => {
      const byId = new Map(tasks.map((task) => [task.id, task]));
      // Otherwise a job could begin before it is watched.
      await this.#queue.pause();
      const { jobs, problems } = await this.#queue.restore(({ id }) => byId.get(id)?.options);
      for (const job of jobs) {
        const task = byId.get(job.id);
        if (task !== undefined) this.#watch(job, task);
      }
      for (const { error, record } of problems) {
        const task = record && byId.get(record.id);
        if (task !== undefined) this.failed(task.target, failureOf(error));
      }
      this.#isAllFound = true;
      this.reporter.allFound();
      this.#queue.resume();
    });
  }

  async #run(feed: () => Promise<void>): Promise<ExitCode> {
    const { reporter } = this;
    const { interruption } = this.#context;
    const limit = this.#limitTime();
    const ticking =
      reporter.tickEveryMs && setInterval(() => reporter.tick(), reporter.tickEveryMs);
    const listening = onAbort(interruption.signal, () => {
      this.#queue.clear();
      this.#makeRoom();
    });
    this.#listen();
    try {
      await feed();
      await this.#queue.onIdle();
      while (this.#settling.size > 0) await Promise.all(this.#settling);
    } finally {
      clearTimeout(limit);
      clearInterval(ticking);
      listening?.[Symbol.dispose]();
    }
    reporter.skipped(this.#refusals);
    this.#warnOfLeftOut();
    const skipped = this.#skippedFor('finished') + this.#skippedFor('same-size');
    const unfinished = this.#stopped.length + this.#notBegun.length;
    const files = this.#succeeded + this.#failures.length + unfinished + skipped + this.#planned;
    reporter.summary({
      files,
      succeeded: this.#succeeded,
      failed: this.#failures.length,
      unfinished,
      skipped,
      ...(this.#flags.dryRun && { planned: this.#planned }),
      bytes: this.#bytes,
      bytesSent: this.#bytesSent,
      durationMs: Math.round(performance.now() - this.#startedMs),
    });
    const { reason } = interruption;
    if (reason !== undefined) this.#sayUnfinished(reason);
    return reason?.exitCode ?? this.#exitCode(files - this.#notBegun.length);
  }

  /** @param files without those that were not begun */
  #exitCode(files: number): ExitCode {
    const failures = [...this.#failures, ...this.#stopped.map(({ failure }) => failure)];
    const isCutShort = this.#notBegun.length > 0 || !this.#isAllFound;
    // With --fail-fast it is what failed that counts.
    if (!isCutShort || this.#context.interruption.reason?.by === '--fail-fast') {
      return exitCodeOf(failures, files);
    }
    return exitCodeOf([...failures, NOT_BEGUN], files + 1);
  }

  #skippedFor(reason: SkipReason): number {
    return this.#skipped.get(reason) ?? 0;
  }

  #warnOfLeftOut(): void {
    const warn = (code: string, message: string) => this.reporter.warning({ code, message });
    const [links, special] = [this.#skippedFor('link'), this.#skippedFor('special')];
    if (links > 0) {
      const what = `symbolic links left out: ${links}; --follow-links uploads what they lead to`;
      warn('links-left-out', what);
    }
    if (special > 0) {
      warn('special-files-left-out', `left out, because they are no regular files: ${special}`);
    }
    if (this.#repeated.length > 0) {
      const names = firstNames(this.#repeated);
      warn('files-repeated', `named more than once, and sent once: ${names}`);
    }
  }

  #limitTime(): NodeJS.Timeout | undefined {
    const { maxTime } = this.#flags;
    if (maxTime === undefined) return undefined;
    return setTimeout(
      () => this.#context.interruption.stop({ by: '--max-time', exitCode: undefined }),
      parseDuration('--max-time', maxTime),
    );
  }

  #listen(): void {
    const { reporter } = this;
    this.#queue.on('start', (job) => {
      const entry = this.#entries.get(job);
      if (entry === undefined) return;
      entry.isBegun = true;
      reporter.begin(entry.task.target);
    });
    this.#queue.on('done', (job, result) => {
      const entry = this.#leave(job);
      if (entry !== undefined) this.#done(entry.task, result);
    });
    this.#queue.on('failed', (job, error) => {
      const entry = this.#leave(job);
      if (entry?.isBegun) this.#failed(job, entry, error);
      else if (entry !== undefined) this.#refused(entry.task, error);
    });
    this.#queue.on('progress', (progress) => reporter.total(progress));
  }

  #add(task: UploadTask): void {
    try {
      this.#watch(this.#queue.add(task.options as QueuedUploadOptions), task);
    } catch (error) {
      this.failed(task.target, failureOf(error));
    }
  }

  #leave(job: UploadJob): Entry | undefined {
    const entry = this.#entries.get(job);
    this.#entries.delete(job);
    this.#makeRoom();
    return entry;
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  async #untilRoom(): Promise<void> {
    while (this.#entries.size >= MAX_AHEAD && !this.#context.interruption.signal.aborted) {
      this.#room ??= new Deferred();
      await this.#room.promise;
    }
  }

  #done(task: UploadTask, result: UploadResult): void {
    this.#succeeded += 1;
    this.#bytes += result.bytes;
    this.#bytesSent += result.bytesSent;
    const finishing = task.onStored?.(result);
    const report = (sha256?: string) => this.#reportDone(task.target, result, sha256);
    if (finishing === undefined) report();
    else this.#settle(finishing.then(report));
  }

  #reportDone(target: Target, result: UploadResult, sha256?: string): void {
    const { json, reply } = this.#flags;
    this.reporter.done(target, result, sha256);
    // Right after the report, which has erased what would stand in its line of the terminal.
    if (!json && !reply) this.#context.io.stdout.write(`${result.url}\n`);
  }

  #failed(job: UploadJob, { task, last }: Entry, error: BitsError): void {
    const { reason } = this.#context.interruption;
    const isStopped = reason !== undefined && error instanceof BitsAbortError;
    const known = failureOf(error, this.#fateOf(job, task));
    const failure = isStopped ? { ...known, message: stoppedMessage(reason, last, known) } : known;
    this.#bytesSent += last.bytesSent;
    // One message for all is enough when the output is closed.
    if (!isStopped || reason.by !== 'stdout') this.#reportFailed(task, failure, last);
    if (isStopped) this.#stopped.push({ task, failure });
    else this.#fail(failure);
    if (!job.recorded && (isStopped || job.state === 'error')) this.#settle(this.#freeSession(job));
  }

  #reportFailed(task: UploadTask, failure: Failure, { progress }: LastProgress): void {
    const isUnanswered = (progress?.bytesAcknowledged ?? 0) === 0;
    const hint = isUnanswered ? httpsHint(task.options, failure) : undefined;
    if (hint === undefined) {
      this.reporter.failed(task.target, failure);
      return;
    }
    const reported = hint.then((text) => {
      const { message: said } = failure;
      const message = text === undefined ? said : `${said.replace(/\.$/, '')}. ${text}`;
      this.reporter.failed(task.target, { ...failure, message });
    });
    this.#settle(reported);
  }

  /** It was not its turn yet. */
  #refused(task: UploadTask, error: BitsError): void {
    if (error instanceof BitsAbortError) {
      this.#notBegun.push(task);
      return;
    }
    const failure = failureOf(error, this.#fate(task.id, task));
    this.#refusals.push({ target: task.target, failure });
    this.#fail(failure);
  }

  #fail(failure: Failure): void {
    this.#failures.push(failure);
    if (this.#flags.failFast) {
      this.#context.interruption.stop({ by: '--fail-fast', exitCode: undefined });
    }
  }

  #settle(work: Promise<void>): void {
    const settled = work.finally(() => this.#settling.delete(settled));
    this.#settling.add(settled);
  }

  #sayUnfinished({ by }: StopReason): void {
    const { stderr } = this.#context.io;
    // The messages of the uploads that were stopped have said it, but for those on standard output.
    if (by === 'stdout') {
      const all = [...this.#stopped.map(({ task }) => task), ...this.#notBegun];
      if (all.length > 0) {
        const what = `not complete: ${filesOf(all)}; run the same command again`;
        say(stderr, `bits-upload: stopped because standard output cannot be written to; ${what}`);
      }
    } else if (this.#notBegun.length > 0) {
      say(stderr, `bits-upload: stopped by ${by}; not begun: ${filesOf(this.#notBegun)}`);
    }
  }

  /** What can be done with a job that ended without success. */
  #fateOf(job: UploadJob, task: UploadTask): Partial<Failure> {
    if (job.state === 'init') return {};
    const { id, recorded } = job;
    return recorded ? this.#fate(id, task) : { id, resumable: false };
  }

  #fate(id: string | undefined, { argumentsToGiveAgain }: UploadTask): Partial<Failure> {
    if (id === undefined) return {};
    return {
      id,
      resumable: true,
      resumeCommand: commandFor('resume', id, this.#state, argumentsToGiveAgain),
    };
  }

  #watch(job: UploadJob, task: UploadTask): void {
    const { reporter } = this;
    const { target } = task;
    const last = new LastProgress();
    this.#entries.set(job, { task, last, isBegun: false });
    let isFirst = true;
    job.on('state', (state) => {
      if (isFirst && job.resumed) {
        reporter.resumed(target, { id: job.id, progress: last.progress });
      }
      isFirst = false;
      // An abort ends in `suspended`; the state that it interrupted is the one to report.
      if (state !== 'suspended') last.state = state;
      reporter.state(target, state);
    });
    job.on('progress', (progress) => {
      last.moved(progress);
      reporter.progress(target, progress);
    });
    job.on('retry', (retry) => reporter.retry(target, { ...retry, error: failureOf(retry.error) }));
    job.on('warning', ({ code, message }) =>
      reporter.warning({ code, message: withFlags(message) }, target),
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

/** Where an upload was when it ended. */
class LastProgress {
  state: UploadState = 'init';
  progress: UploadProgress | undefined;
  /** Those that were sent again count again. */
  bytesSent = 0;

  moved(progress: UploadProgress): void {
    // An upload that is resumed begins where an earlier run ended.
    const { bytesSent: before } = this.progress ?? { bytesSent: progress.bytesAcknowledged };
    this.bytesSent += Math.max(0, progress.bytesSent - before);
    this.progress = progress;
  }
}

function stoppedMessage(
  { by }: StopReason,
  { state, progress }: LastProgress,
  { resumable = false }: Failure,
): string {
  if (state === 'close-session') {
    const what = resumable ? 'resume it to make sure' : 'check whether it is there';
    return `stopped by ${by} while the server was storing the file: ${what}`;
  }
  const again = '; run the same command to upload it again';
  if (state === 'await-reply' || state === 'get-reply') {
    const what = resumable ? ': resume it to get the reply' : again;
    return `stopped by ${by} when all was sent, but the reply was not yet complete${what}`;
  }
  const { bytesAcknowledged = 0, bytesTotal = 0 } = progress ?? {};
  const where = progress
    ? ` after ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)}`
    : '';
  const advice = resumable ? '' : again;
  return `stopped by ${by}${where}: the file is not complete on the server${advice}`;
}

function filesOf(tasks: readonly UploadTask[]): string {
  return firstNames(tasks.map(({ target }) => target.file));
}
