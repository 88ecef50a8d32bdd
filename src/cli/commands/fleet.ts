import { Option } from 'commander';
import type { ActiveUpload, FleetStatus } from '../../bullmq.js';
import type { CliCommand, Io } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { say, writeEvent } from '../render/text.js';
import { formatBytes, formatPercent } from '../render/units.js';
import { another } from '../values.js';
import { type Flags, JSON_OUTPUT } from './options.js';
import { type Fleet, REDIS_OPTIONS, redisConnection, withFleet } from './redis-options.js';

interface FleetFlags extends Flags {
  readonly cancel?: readonly string[];
  readonly retry?: readonly string[];
}

const HELP = `
Lists the workers, how many jobs are in which state, the uploads under way with
the worker that is at each, and the jobs that failed for good.

--cancel also frees the session on the server, within some seconds. --retry
gives a failed job to the workers again; it resumes where the server stands.

Exit codes: 0 listed, 1 Redis failed, does not answer within 10 s at the start
or 30 s later, or there is no such job, 2 the command line is wrong.`;

export const FLEET: CliCommand = {
  summary: 'show who in a fleet uploads what',
  description: 'Show who uploads what, and how far it is.',
  examples: [
    'bits-upload fleet --redis redis://queue:6379',
    'bits-upload fleet --redis redis://queue:6379 --cancel 1234',
  ],
  help: HELP,
  options: [
    ...REDIS_OPTIONS,
    new Option('--cancel <id>', 'cancel a job; can be given several times').argParser(another),
    new Option('--retry <id>', 'try a failed job again; can be given several times').argParser(
      another,
    ),
    JSON_OUTPUT,
  ],
  run: (_, flags: FleetFlags, { io }) =>
    withFleet(flags, io, (fleet) => showFleet(flags, io, fleet)),
};

async function showFleet(flags: FleetFlags, io: Io, fleet: Fleet): Promise<ExitCode> {
  const { queue, close } = await fleet.openUploadQueue(redisConnection(flags));
  try {
    let isDone = true;
    const tell = (id: string, wasDone: boolean, done: string, not: string): void => {
      say(io.stderr, wasDone ? `job ${id} ${done}` : `bits-upload: job ${id} ${not}`);
      isDone &&= wasDone;
    };
    for (const id of flags.cancel ?? []) {
      const wasDone = await fleet.cancelUpload(queue, id);
      const isOver = !wasDone && (await fleet.uploadState(queue, id)) === 'completed';
      const why = isOver ? 'it is done' : 'there is no such job';
      tell(id, wasDone, 'is being cancelled', `cannot be cancelled: ${why}`);
    }
    for (const id of flags.retry ?? []) {
      const wasDone = await fleet.retryUpload(queue, id);
      tell(id, wasDone, 'is tried again', 'has not failed, or there is no such job');
    }
    if (flags.cancel === undefined && flags.retry === undefined) {
      show(await fleet.fleetStatus(queue), flags, io);
    }
    return isDone ? EXIT.done : EXIT.failed;
  } finally {
    await close();
  }
}

function show(status: FleetStatus, { json }: FleetFlags, { stdout }: Io): void {
  const { queueName, isPaused, workers, counts, active, failed } = status;
  if (json) {
    writeEvent(stdout, { type: 'fleet', queue: queueName, paused: isPaused, workers, ...counts });
    for (const { jobId, source, acknowledgedBytes, totalBytes, startedAtMs, ...upload } of active) {
      writeEvent(stdout, {
        type: 'fleet-upload',
        job: jobId,
        file: source,
        ...upload,
        bytes: acknowledgedBytes,
        bytesTotal: totalBytes,
        startedAt: startedAtMs === undefined ? undefined : new Date(startedAtMs).toISOString(),
      });
    }
    for (const { jobId, source, url, reason } of failed) {
      writeEvent(stdout, { type: 'fleet-failure', job: jobId, file: source, url, message: reason });
    }
    return;
  }
  const names = workers.length === 0 ? 'none' : workers.join(', ');
  say(stdout, `queue ${queueName}${isPaused ? ' (paused)' : ''}, workers: ${names}`);
  say(
    stdout,
    `${counts.active} active, ${counts.waiting} waiting, ${counts.delayed} delayed, ` +
      `${counts.completed} completed, ${counts.failed} failed`,
  );
  for (const upload of active) say(stdout, activeLine(upload));
  for (const { jobId, source, url, reason } of failed) {
    say(stdout, `failed  ${jobId}  ${source} -> ${url}: ${reason}`);
  }
}

/** `active  12  w1  45 % of 1.0 GiB  3.2 MiB/s  /data/a.bin -> http://bits.example/a.bin` */
function activeLine(upload: ActiveUpload): string {
  const { jobId, worker = 'unknown', source, url, acknowledgedBytes, totalBytes } = upload;
  const far =
    totalBytes === undefined
      ? upload.state
      : `${formatPercent(acknowledgedBytes, totalBytes)} of ${formatBytes(totalBytes)}`;
  const speed = upload.bytesPerSecond
    ? `  ${formatBytes(Math.round(upload.bytesPerSecond))}/s`
    : '';
  return `active  ${jobId}  ${worker}  ${far}${speed}  ${source} -> ${url}`;
}
