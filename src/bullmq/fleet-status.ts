import type { Queue } from 'bullmq';
import { isBitsError } from '../errors.js';
import { askRedis, type RedisPatience } from './ask-redis.js';
import { assertQueue, type FleetJob, readJob } from './fleet-job.js';
import { numberOf, parseProgress } from './job-progress.js';

/** One upload that a worker is at. */
export interface ActiveUpload {
  readonly jobId: string;
  readonly worker: string | undefined;
  /** Path or reference. */
  readonly source: string;
  readonly url: string;
  readonly state: string;
  readonly acknowledgedBytes: number;
  readonly totalBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  /** Since the worker took it; milliseconds since 1970. */
  readonly startedAtMs: number | undefined;
}

/** A job that BullMQ does not try again. */
export interface FailedUpload {
  readonly jobId: string;
  readonly source: string;
  readonly url: string;
  readonly reason: string;
}

/** Who does what, and how far it is. */
export interface FleetStatus {
  readonly queueName: string;
  /** Whether somebody has paused the queue: workers take no job from it. */
  readonly isPaused: boolean;
  readonly workers: readonly string[];
  /** Jobs by their state in BullMQ. */
  readonly counts: Readonly<
    Record<'waiting' | 'active' | 'delayed' | 'completed' | 'failed', number>
  >;
  readonly active: readonly ActiveUpload[];
  /** The latest ones. */
  readonly failed: readonly FailedUpload[];
}

/** Most jobs that are listed of each kind. */
const MAX_LISTED = 100;

/**
 * Tells what the workers of a queue are doing. It holds no secret.
 * @param queue a `Queue` of BullMQ, which stays the caller's
 * @throws BITS_ERR_ARGUMENT for what is no queue
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function fleetStatus(queue: Queue, patience?: RedisPatience): Promise<FleetStatus> {
  assertQueue(queue);
  const [counts, clients, active, failed, isPaused] = await askRedis(
    'tell of the fleet',
    () =>
      Promise.all([
        queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'completed', 'failed'),
        queue.getWorkers(),
        listed(queue, 'active'),
        listed(queue, 'failed'),
        queue.isPaused(),
      ]),
    patience,
  );
  const count = (name: string): number => counts[name] ?? 0;
  return {
    queueName: queue.name,
    isPaused,
    workers: [...new Set(clients.map(({ rawname = '' }) => workerName(rawname)))].toSorted(),
    counts: {
      waiting: count('waiting') + count('prioritized'),
      active: count('active'),
      delayed: count('delayed'),
      completed: count('completed'),
      failed: count('failed'),
    },
    active: active.map(activeUpload),
    failed: failed.map((job) => ({ ...whatOf(job), reason: String(job.failedReason ?? '') })),
  };
}

/** One that a stranger wrote, and nobody can read, must not hide the others. */
async function listed(queue: Queue, state: 'active' | 'failed'): Promise<FleetJob[]> {
  const ids = await queue.getRanges([state], 0, MAX_LISTED - 1);
  const read = (id: string): Promise<FleetJob | undefined> =>
    readJob(queue, id).catch((error: unknown) => {
      if (isBitsError(error, 'BITS_ERR_STORE')) return undefined;
      throw error;
    });
  return (await Promise.all(ids.map(read))).filter((job) => job !== undefined);
}

function activeUpload(job: FleetJob): ActiveUpload {
  const { state, acknowledgedBytes, totalBytes, bytesPerSecond } = parseProgress(job.progress);
  return {
    ...whatOf(job),
    worker: job.processedBy,
    state: state === undefined || state === 'returned' ? 'init' : state,
    acknowledgedBytes,
    totalBytes,
    bytesPerSecond,
    startedAtMs: numberOf(job.processedOn),
  };
}

/** The data may be a stranger's. */
function whatOf({ id, data }: FleetJob): { jobId: string; source: string; url: string } {
  const { source, url } = (data ?? {}) as { source?: unknown; url?: unknown };
  return { jobId: String(id), source: textOf(source), url: textOf(url) };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** BullMQ names the connections of a worker `prefix:queue:w:name`. */
function workerName(rawName: string): string {
  return rawName.slice(rawName.lastIndexOf(':w:') + 3);
}
