import { BitsStateError, type JobRecord, UploadJob, type UploadOptions } from '../../index.js';
import type { CommandContext, Io } from '../context.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type Failure, failureOf } from '../failure.js';
import { sayFailure, sayWarning, type Target } from '../render/messages.js';
import { say, writeJson } from '../render/text.js';
import type { JobState } from '../state-directory.js';
import { targetOf } from './find-jobs.js';
import type { OutputFlags } from './upload-options.js';

/** An unfinished upload to cancel. */
export interface Cancellation {
  readonly record: JobRecord;
  /** Called when its turn comes; an error is reported as the failure of the job. */
  options(): Partial<UploadOptions>;
  /** Completes `cancelled, because`. */
  readonly reason?: string;
}

/** Frees the sessions on the servers and deletes the records, one after the other. */
export async function cancelJobs(
  cancellations: readonly Cancellation[],
  flags: OutputFlags,
  state: JobState,
  { io, interruption }: CommandContext,
): Promise<ExitCode> {
  const failures: Failure[] = [];
  for (const cancellation of cancellations) {
    try {
      interruption.signal.throwIfAborted();
      const freed = await cancel(cancellation, state);
      report(cancellation, freed, io, flags);
    } catch (error) {
      if (interruption.reason !== undefined) {
        const { by, exitCode } = interruption.reason;
        if (by !== 'stdout') say(io.stderr, `bits-upload: stopped by ${by}`);
        return exitCode;
      }
      const failure = failureOf(error);
      failures.push(failure);
      reportFailure(targetOf(cancellation.record), failure, io, flags);
    }
  }
  return exitCodeOf(failures, cancellations.length);
}

export function reportFailure(
  target: Target,
  failure: Failure,
  io: Io,
  { json }: OutputFlags,
): void {
  if (json) writeJson(io.stdout, { type: 'error', ...target, ...failure });
  sayFailure(io.stderr, target, failure);
}

function report(
  { record, reason }: Cancellation,
  freed: boolean,
  { stdout, stderr }: Io,
  { json, quiet }: OutputFlags,
): void {
  const target = targetOf(record);
  const { id } = record;
  if (json) writeJson(stdout, { type: 'result', ...target, id, reason, freed });
  else stdout.write(`${id}\n`);
  if (!freed) {
    const message = `${target.file}: the server did not confirm that it removed the session; it may refuse the URL until the time-out of the session`;
    sayWarning(stderr, { message });
  }
  const because = reason === undefined ? '' : `, because ${reason}`;
  if (!quiet && !json) say(stderr, `${target.file}: upload cancelled${because}`);
}

/**
 * Works whether or not the file still exists.
 * @returns whether the server confirmed that it removed the session
 * @throws BITS_ERR_STATE when another process uploads the file, or the file is stored by now;
 *   BITS_ERR_ABORTED when the signal aborted before the server answered
 */
async function cancel({ record, options }: Cancellation, { store }: JobState): Promise<boolean> {
  const job = await UploadJob.restore(store, record.id, {
    ...options(),
    // The stream would have to be given again, and no reply will be requested.
    ...(record.reply?.to === 'stream' && { reply: true }),
  });
  let freed = true;
  job.on('warning', ({ code }) => {
    if (code === 'session-not-freed') freed = false;
  });
  await job.cancel();
  if (job.state === 'completed') {
    throw new BitsStateError('the file was stored before the upload could be cancelled');
  }
  // The record stays when a signal ended the wait for the server.
  if (job.state !== 'cancelled' || job.recorded) await job.result;
  return freed;
}
