import {
  BitsStateError,
  isBitsError,
  type JobRecord,
  UploadJob,
  type UploadOptions,
} from '../../index.js';
import { type Attempt, Hosts } from '../../internal.js';
import type { CommandContext, Io } from '../context.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import { type Failure, failureOf } from '../failure.js';
import { sayWarning } from '../render/messages.js';
import { say, writeEvent } from '../render/text.js';
import type { JobState } from '../state-directory.js';
import { targetOf, urlOption } from './find-jobs.js';
import type { Flags } from './options.js';
import { reportFailure, reportStop } from './report.js';
import { connectTimeoutMs } from './upload-options.js';

/** An unfinished upload to cancel. */
export interface Cancellation {
  readonly record: JobRecord;
  /** Of prune, which knows no query of a URL; completes `cancelled, because`. */
  readonly reason?: string;
  /** The session has reached its time-out: the record is deleted even if the server does not answer. */
  readonly isExpired?: boolean;
}

/**
 * Frees the sessions on the servers and deletes the records, one after the other.
 *
 * A record stays if the server does not confirm that it removed the session.
 */
export async function cancelJobs(
  cancellations: readonly Cancellation[],
  options: Partial<UploadOptions>,
  flags: Flags,
  state: JobState,
  { io, interruption }: CommandContext,
): Promise<ExitCode> {
  const hosts = new Hosts({ unreachableAfterMs: connectTimeoutMs(flags) });
  const failures: Failure[] = [];
  const fail = (record: JobRecord, failure: Failure): void => {
    failures.push(failure);
    reportFailure(targetOf(record), failure, io, flags);
  };
  for (const cancellation of cancellations) {
    const { record, reason, isExpired } = cancellation;
    const attempt = hosts.attempt({ ...options, url: record.url });
    if (attempt.reasonToSkip !== undefined) {
      fail(record, failureOf(attempt.reasonToSkip));
      continue;
    }
    try {
      interruption.signal.throwIfAborted();
      // The id of the session is enough where the query is unknown.
      const place = reason === undefined ? urlOption(record, flags.url) : { url: record.url };
      await cancel(record, attempt, { ...options, ...place }, state);
      attempt.answered();
      attempt.ended();
      report(cancellation, true, io, flags);
    } catch (error) {
      if (interruption.reason !== undefined) return reportStop(interruption.reason, io);
      const failure = failureOfCancel(error);
      attempt.ended(failure);
      const isHopeless = isExpired && failure.code !== 'BITS_ERR_AUTH';
      if (isHopeless && (await forget(record, state))) report(cancellation, false, io, flags);
      else fail(record, failure);
    }
  }
  return exitCodeOf(failures, cancellations.length);
}

/**
 * Works whether or not the file still exists.
 * @throws BITS_ERR_STATE when another process uploads the file, or the file is stored by now;
 *   BITS_ERR_ABORTED when the server did not confirm that it removed the session
 */
async function cancel(
  record: JobRecord,
  attempt: Attempt,
  options: Partial<UploadOptions>,
  { store }: JobState,
): Promise<void> {
  const job = await UploadJob.restore(store, record, {
    ...attempt.watched(options),
    // The stream would have to be given again, and no reply will be requested.
    ...(record.reply?.to === 'stream' && { reply: true }),
  });
  job.on('state', (state) => attempt.entered(state));
  await job.cancel();
  if (job.state === 'completed') {
    throw new BitsStateError('the file was stored before the upload could be cancelled');
  }
  if (job.state !== 'cancelled' || job.recorded) await job.result;
}

/** The cause of a Cancel-Session that was not confirmed says more than the abort of the job. */
function failureOfCancel(error: unknown): Failure {
  const cause = isBitsError(error, 'BITS_ERR_ABORTED') ? error.cause : undefined;
  if (!isBitsError(cause)) return failureOf(error);
  const failure = failureOf(cause);
  const message = `the server did not confirm that it removed the session, so the record is kept: ${failure.message}`;
  return { ...failure, message };
}

/** @returns whether the record could be deleted */
async function forget(record: JobRecord, { store }: JobState): Promise<boolean> {
  const { lock } = await store.lock(record.key);
  if (lock === undefined) return false;
  try {
    await store.remove(record.key);
    return true;
  } finally {
    await lock.release();
  }
}

function report(
  { record, reason }: Cancellation,
  freed: boolean,
  { stdout, stderr }: Io,
  { json, quiet }: Flags,
): void {
  const target = targetOf(record);
  const { id } = record;
  if (json) writeEvent(stdout, { type: 'result', ...target, id, reason, freed });
  else stdout.write(`${id}\n`);
  if (!freed) {
    const message = `${target.file}: the server did not confirm that it removed the session; it may refuse the URL until the time-out of the session`;
    sayWarning(stderr, { message });
  }
  const because = reason === undefined ? '' : `, because ${reason}`;
  if (!quiet && !json) say(stderr, `${target.file}: upload cancelled${because}`);
}
