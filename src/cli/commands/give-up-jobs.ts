import { BitsStateError, type JobRecord, UploadJob, type UploadOptions } from '../../index.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';
import { say, sayFailure } from '../render/messages.js';
import type { Failure, Target } from '../render/reporter.js';
import type { JobState } from '../state-directory.js';
import type { OutputFlags } from './common-options.js';
import { targetOf } from './find-jobs.js';
import { failureOf } from './run-uploads.js';

/** An unfinished upload that is to be given up. */
export interface Farewell {
  readonly record: JobRecord;
  /** Asked for when its turn comes; what it throws is told as the job's failure. */
  readonly options: () => Partial<UploadOptions>;
  /** To follow `given up, because`. */
  readonly reason?: string;
}

export interface GivingUp {
  readonly state: JobState;
  readonly io: Io;
  readonly flags: OutputFlags;
  readonly interruption: Interruption;
}

/** Frees the servers' sessions and drops the records, one after the other. */
export async function giveUpJobs(
  farewells: readonly Farewell[],
  context: GivingUp,
): Promise<ExitCode> {
  const { state, io, flags, interruption } = context;
  const failures: Failure[] = [];
  for (const { record, options, reason } of farewells) {
    const target = targetOf(record);
    try {
      interruption.signal.throwIfAborted();
      const freed = await free(record, state, { ...options(), signal: interruption.signal });
      tellFreed(record, { freed, reason }, context);
    } catch (error) {
      if (interruption.reason !== undefined) {
        const { by, exitCode } = interruption.reason;
        if (by !== 'stdout') say(io.stderr, `bits-upload: stopped by ${by}`);
        return exitCode;
      }
      const failure = failureOf(error);
      failures.push(failure);
      tellFailure(target, failure, io, flags);
    }
  }
  return exitCodeOf(failures, farewells.length);
}

export function tellFailure(target: Target, failure: Failure, io: Io, { json }: OutputFlags): void {
  if (json) io.stdout.write(`${JSON.stringify({ type: 'error', ...target, ...failure })}\n`);
  sayFailure(io.stderr, target, failure);
}

function tellFreed(
  record: JobRecord,
  { freed, reason }: { readonly freed: boolean; readonly reason: string | undefined },
  { io, flags }: GivingUp,
): void {
  const target = targetOf(record);
  const { id } = record;
  const { stdout, stderr } = io;
  stdout.write(
    flags.json
      ? `${JSON.stringify({ type: 'result', ...target, id, reason, freed })}\n`
      : `${id}\n`,
  );
  if (!freed) {
    say(
      stderr,
      `bits-upload: warning: ${target.file}: the server did not confirm that it dropped the ` +
        'session; it may refuse the URL until its time-out',
    );
  }
  const because = reason === undefined ? '' : `, because ${reason}`;
  if (!flags.quiet && !flags.json) say(stderr, `${target.file}: upload given up${because}`);
}

/**
 * Works whether or not the file is still there.
 * @returns whether the server confirmed that it dropped the session
 * @throws BITS_ERR_STATE when another process drives the job, or the file is in place by now;
 *   BITS_ERR_ABORTED when the signal aborted before the server answered
 */
async function free(
  record: JobRecord,
  { store }: JobState,
  options: Partial<UploadOptions>,
): Promise<boolean> {
  const job = await UploadJob.restore(store, record.id, {
    ...options,
    // Only a stream would have to be given again, and nothing will be asked for.
    ...(record.reply?.to === 'stream' && { reply: true }),
  });
  let freed = true;
  job.on('warning', ({ code }) => {
    if (code === 'session-not-freed') freed = false;
  });
  await job.cancel();
  if (job.state === 'completed') {
    throw new BitsStateError('the file was put in place before the upload could be given up');
  }
  // The record stays when a signal cut the wait for the server short.
  if (job.state !== 'cancelled' || job.recorded) await job.result;
  return freed;
}
