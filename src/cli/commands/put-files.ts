import {
  BitsAbortError,
  UploadJob,
  type UploadOptions,
  type UploadProgress,
  type UploadState,
} from '../../index.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Interruption, StopReason } from '../interruption.js';
import type { Io } from '../io.js';
import { createReporter } from '../render/create-reporter.js';
import { type Failure, isFailure, type Reporter } from '../render/reporter.js';
import { formatBytes } from '../render/units.js';
import { type PlannedUpload, type PutFlags, planUploads } from './put-plan.js';

interface Errand extends PlannedUpload {
  readonly job: UploadJob;
}

type Ending =
  | { readonly kind: 'done'; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'stopped'; readonly exitCode: ExitCode };

/**
 * Uploads one file after the other; when one fails, the others go all the same.
 * @returns 0 when all are in place; 2 when nothing was sent because of an argument
 * @throws UsageError, BITS_ERR_ARGUMENT before anything is sent
 */
export async function uploadFiles(
  paths: readonly string[],
  flags: PutFlags,
  io: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  const errands = planUploads(paths, flags, io).map((planned) => ({
    ...planned,
    job: new UploadJob({ ...planned.options, signal: interruption.signal }),
  }));
  const reporter = createReporter(flags, io);
  const unreadable = await checkFiles(errands, reporter);
  if (unreadable.length > 0) return exitCodeOf(unreadable);

  const failures: Failure[] = [];
  for (const errand of errands) {
    const ending = await upload(errand, reporter, interruption);
    if (ending.kind === 'stopped') return ending.exitCode;
    if (ending.kind === 'failed') failures.push(ending.failure);
    else if (!flags.json && !flags.reply) io.stdout.write(`${ending.url}\n`);
  }
  return failures.length < errands.length && failures.length > 0
    ? EXIT.failed
    : exitCodeOf(failures);
}

/** Opens every file once, so that a wrong name is told before the first byte is sent. */
async function checkFiles(errands: readonly Errand[], reporter: Reporter): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const { target, options } of errands) {
    try {
      await tryToOpen(options.source);
    } catch (error) {
      const failure = failureOf(error);
      reporter.failed(target, failure);
      failures.push(failure);
    }
  }
  return failures;
}

async function tryToOpen(source: UploadOptions['source']): Promise<void> {
  // Standard input has no name, and can be opened only once.
  if (typeof source !== 'object' || !('name' in source && 'open' in source)) return;
  const opened = await source.open();
  await opened.close();
}

async function upload(
  { target, job }: Errand,
  reporter: Reporter,
  interruption: Interruption,
): Promise<Ending> {
  const at: { state: UploadState; progress: UploadProgress | undefined } = {
    state: 'init',
    progress: undefined,
  };
  job.on('state', (state) => {
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
  reporter.begin(target);
  const ticking = reporter.tickEveryMs && setInterval(() => reporter.tick(), reporter.tickEveryMs);
  try {
    const result = await job.start();
    reporter.done(target, result);
    return { kind: 'done', url: result.url };
  } catch (error) {
    const { reason } = interruption;
    if (reason !== undefined && error instanceof BitsAbortError) {
      const message = stoppedMessage(reason, at.state, at.progress);
      // Nobody is left to tell when the output is closed.
      if (reason.by !== 'stdout') reporter.failed(target, new BitsAbortError(message));
      return { kind: 'stopped', exitCode: reason.exitCode };
    }
    const failure = failureOf(error);
    reporter.failed(target, failure);
    return { kind: 'failed', failure };
  } finally {
    clearInterval(ticking);
  }
}

function stoppedMessage(
  { by }: StopReason,
  state: UploadState,
  progress: UploadProgress | undefined,
): string {
  if (state === 'close-session') {
    return `stopped by ${by} while the server was putting the file in place: check whether it is there`;
  }
  const { bytesAcknowledged = 0, bytesTotal = 0 } = progress ?? {};
  const where = progress
    ? ` after ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)}`
    : '';
  return `stopped by ${by}${where}: the file is not in place; run the same command to upload it`;
}

function exitCodeOf(failures: readonly Failure[]): ExitCode {
  if (failures.length === 0) return EXIT.done;
  return failures.every(({ code }) => code === 'BITS_ERR_ARGUMENT') ? EXIT.usage : EXIT.failed;
}

/** Anything else than a `BitsError` is a bug, and says so. */
function failureOf(error: unknown): Failure {
  if (isFailure(error)) return error;
  return {
    code: 'ERR_UNEXPECTED',
    message: `unexpected error, please report it: ${String(error)}`,
    retryable: false,
  };
}
