import {
  BitsAbortError,
  type UploadJob,
  type UploadProgress,
  type UploadState,
} from '../../index.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import type { Interruption, StopReason } from '../interruption.js';
import { type Failure, isFailure, type Reporter, type Target } from '../render/reporter.js';
import { formatBytes } from '../render/units.js';

/** One upload that was asked for. */
export interface Errand {
  readonly target: Target & { readonly file: string };
  /** Makes the job; what it throws is told as its failure. */
  readonly open: () => UploadJob | Promise<UploadJob>;
  /** How to go on with the job in a shell. */
  readonly resumeCommand: (id: string) => string;
}

export interface UploadsRun {
  readonly reporter: Reporter;
  readonly interruption: Interruption;
  readonly onDone: (url: string) => void;
}

type Ending =
  | { readonly kind: 'done'; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'stopped'; readonly exitCode: ExitCode };

/**
 * Uploads one file after the other; when one fails, the others go all the same.
 * @returns 0 when all are in place; 2 when nothing was sent because of an argument
 */
export async function runUploads(errands: readonly Errand[], run: UploadsRun): Promise<ExitCode> {
  const failures: Failure[] = [];
  for (const [index, errand] of errands.entries()) {
    const ending = await upload(errand, run, errands.slice(index + 1));
    if (ending.kind === 'stopped') return ending.exitCode;
    if (ending.kind === 'failed') failures.push(ending.failure);
    else run.onDone(ending.url);
  }
  return exitCodeOf(failures, errands.length);
}

async function upload(
  { target, open, resumeCommand }: Errand,
  { reporter, interruption }: UploadsRun,
  notBegun: readonly Errand[],
): Promise<Ending> {
  let job: UploadJob | undefined;
  const at: { state: UploadState; progress: UploadProgress | undefined } = {
    state: 'init',
    progress: undefined,
  };
  /** What can be done with the job after it ended without success. */
  const fateOf = (left: UploadJob | undefined): Partial<Failure> => {
    if (left === undefined || left.state === 'init') return {};
    const { id, recorded: resumable } = left;
    return { id, resumable, ...(resumable && { resumeCommand: resumeCommand(id) }) };
  };
  reporter.begin(target);
  const ticking = reporter.tickEveryMs && setInterval(() => reporter.tick(), reporter.tickEveryMs);
  try {
    job = await open();
    watch(job, target, reporter, at);
    const result = await job.start();
    reporter.done(target, result);
    return { kind: 'done', url: result.url };
  } catch (error) {
    // Or what is told of the failure would be drawn over while the session is being freed.
    clearInterval(ticking);
    const { reason } = interruption;
    const fate = fateOf(job);
    if (reason !== undefined && error instanceof BitsAbortError) {
      const message = stoppedMessage(reason, at, fate.resumable ?? false, notBegun);
      const { code, retryable } = error;
      // Nobody is left to tell when the output is closed.
      if (reason.by !== 'stdout') reporter.failed(target, { code, retryable, message, ...fate });
      if (job !== undefined && !job.recorded) await freeSession(job, reporter, interruption);
      return { kind: 'stopped', exitCode: reason.exitCode };
    }
    const failure = failureOf(error, fate);
    reporter.failed(target, failure);
    if (job?.state === 'error' && !job.recorded) {
      await freeSession(job, reporter, interruption);
    }
    return { kind: 'failed', failure };
  } finally {
    clearInterval(ticking);
  }
}

function watch(
  job: UploadJob,
  target: Target,
  reporter: Reporter,
  at: { state: UploadState; progress: UploadProgress | undefined },
): void {
  let begun = false;
  job.on('state', (state) => {
    if (!begun && job.resumed) reporter.resumed(target, { id: job.id, progress: at.progress });
    begun = true;
    // An abort leads to `suspended`; what it cut short is what matters then.
    if (state !== 'suspended') at.state = state;
    reporter.state(state);
  });
  job.on('progress', (progress) => {
    at.progress = progress;
    reporter.progress(progress);
  });
  job.on('retry', (decision) => reporter.retry(decision));
  job.on('warning', (warning) => reporter.warning(warning));
}

/** A server that has not answered by then is not waited for: its session ends by itself. */
const FREE_SESSION_TIMEOUT_MS = 5000;

/** Nobody can go on with the upload, and the session would keep the URL from the next try. */
async function freeSession(
  job: UploadJob,
  reporter: Reporter,
  interruption: Interruption,
): Promise<void> {
  // What had to be told of the upload has been told.
  job.removeAllListeners();
  job.on('warning', (warning) => {
    if (warning.code === 'session-not-freed') reporter.warning(warning);
  });
  const limit = new AbortController();
  const giveUp = () => limit.abort();
  // Not AbortSignal.any: what nothing else holds may be collected, and then never fires.
  const timer = setTimeout(giveUp, FREE_SESSION_TIMEOUT_MS);
  interruption.signal.addEventListener('abort', giveUp, { once: true });
  try {
    // cancel() takes no signal, and that of the job may have aborted.
    job.resume({ signal: limit.signal }).catch(() => {});
    await job.cancel();
  } finally {
    clearTimeout(timer);
    interruption.signal.removeEventListener('abort', giveUp);
  }
}

function stoppedMessage(
  { by }: StopReason,
  at: { readonly state: UploadState; readonly progress: UploadProgress | undefined },
  resumable: boolean,
  notBegun: readonly Errand[],
): string {
  const rest = notBegun.length === 0 ? '' : `; not begun: ${namesOf(notBegun)}`;
  if (at.state === 'close-session') {
    const what = resumable ? 'resume it to make sure' : 'check whether it is there';
    return `stopped by ${by} while the server was putting the file in place: ${what}${rest}`;
  }
  const { bytesAcknowledged = 0, bytesTotal = 0 } = at.progress ?? {};
  const where = at.progress
    ? ` after ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)}`
    : '';
  const advice = resumable ? '' : '; run the same command to upload it anew';
  return `stopped by ${by}${where}: the file is not in place${advice}${rest}`;
}

function namesOf(errands: readonly Errand[]): string {
  return errands.map(({ target }) => target.file).join(', ');
}

/** What is shown of an error; anything else than a `BitsError` is a bug, and says so. */
export function failureOf(error: unknown, fate: Partial<Failure> = {}): Failure {
  if (!isFailure(error)) {
    return {
      code: 'ERR_UNEXPECTED',
      message: `unexpected error, please report it: ${String(error)}`,
      retryable: false,
      ...fate,
    };
  }
  const { code, message, retryable, status, hresult, hresultName, context } = error;
  return { code, message, retryable, status, hresult, hresultName, context, ...fate };
}
