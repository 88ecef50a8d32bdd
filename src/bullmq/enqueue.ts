import { randomUUID } from 'node:crypto';
import type { FlowJob, JobState, JobsOptions, Queue } from 'bullmq';
import { mustBe } from '../common/check-options.js';
import { BitsStoreError, isBitsError } from '../errors.js';
import { askRedis, type RedisPatience } from './ask-redis.js';
import {
  assertJobOf,
  assertQueue,
  checkQueueName,
  type FleetJob,
  readJob,
  storePrefix,
  uploadName,
} from './fleet-job.js';
import {
  bullmqPriority,
  type FleetJobData,
  type FleetUploadOptions,
  JOB_NAME,
  toJobData,
} from './job-data.js';

const JOB_OPTIONS: JobsOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 5000, jitter: 0.5 },
  // Of 10,000 a minute, all would fill the memory of Redis in some hours.
  removeOnComplete: { age: 24 * 60 * 60, count: 1000 },
};

/** One transaction with more would keep everybody else waiting. */
const AT_ONCE = 1000;

/**
 * Adds one job of BullMQ for each upload; all are checked before the first one is added.
 *
 * More than 1000 are added in several steps: when Redis fails in between, the first ones are in the queue.
 * Of the step that failed it is not known; with `jobOptions.jobId` an upload is added once, however often
 * it is enqueued.
 * @param queue a `Queue` of BullMQ, which stays the caller's
 * @returns the jobs, in the order of the uploads
 * @throws BITS_ERR_ARGUMENT for an upload that cannot work, or that holds what may be a secret
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function enqueueUploads(
  queue: Queue,
  uploads: readonly FleetUploadOptions[],
  patience?: RedisPatience,
): Promise<FleetJob[]> {
  assertQueue(queue);
  mustBe(Array.isArray(uploads), 'uploads', 'an array of options');
  // With an id of its own a job is added once, also when the connection broke before Redis answered and
  // it is added again.
  const entries = uploads.map((upload) => {
    const { opts, ...entry } = bulkEntry(upload);
    return { ...entry, opts: { ...opts, jobId: opts.jobId ?? randomUUID() } };
  });
  const jobs: FleetJob[] = [];
  for (let from = 0; from < entries.length; from += AT_ONCE) {
    const step = entries.slice(from, from + AT_ONCE);
    try {
      const added = await askRedis('add the jobs', () => queue.addBulk(step), patience);
      jobs.push(...(added as FleetJob[]));
    } catch (error) {
      if (!isBitsError(error, 'BITS_ERR_STORE')) throw error;
      const hasIds = uploads
        .slice(from, from + AT_ONCE)
        .every(({ jobOptions }) => jobOptions?.jobId !== undefined);
      if (hasIds) throw error;
      throw new BitsStoreError(
        error.reason,
        `${error.message} The first ${from} of ${entries.length} uploads are in the queue, and the next ${step.length} may be: ` +
          'with a jobId in jobOptions each could be enqueued again, and would be added once.',
      );
    }
  }
  return jobs;
}

/**
 * An upload as a part of a flow of BullMQ, such as upload, then verify, then notify: the child of a job
 * that another worker does.
 * @param queueName of the upload workers
 * @throws BITS_ERR_ARGUMENT as `enqueueUploads`
 */
export function uploadFlowJob(queueName: string, upload: FleetUploadOptions): FlowJob {
  checkQueueName(queueName);
  const { name, data, opts } = bulkEntry(upload);
  // A flow without its upload cannot go on; BullMQ would leave the parent waiting.
  return { name, queueName, data, opts: { failParentOnFailure: true, ...opts } };
}

/**
 * Cancels an upload, wherever it is: one that waits is removed, one that a worker is at is stopped, and
 * its session on the server is freed by a worker.
 * @returns false when there is no such job, or it is over
 * @throws BITS_ERR_ARGUMENT for what is no queue, or no id
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function cancelUpload(
  queue: Queue,
  jobId: string,
  patience?: RedisPatience,
): Promise<boolean> {
  assertJobOf(queue, jobId);
  return askRedis('cancel the job', () => cancel(queue, jobId), patience);
}

/**
 * Gives a job that failed for good to the workers again, and one of them resumes it.
 * @returns false when there is no such job, or it has not failed
 * @throws BITS_ERR_ARGUMENT for what is no queue, or no id
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function retryUpload(
  queue: Queue,
  jobId: string,
  patience?: RedisPatience,
): Promise<boolean> {
  assertJobOf(queue, jobId);
  return askRedis(
    'retry the job',
    async () => {
      const job = await readJob(queue, jobId);
      if ((await job?.isFailed()) !== true) return false;
      await job?.retry();
      return true;
    },
    patience,
  );
}

/**
 * What BullMQ says of a job, such as `prioritized`, `active`, `completed` or `failed`.
 * @returns `unknown` when there is no such job, such as one that was removed some time after it was done
 * @throws BITS_ERR_ARGUMENT for what is no queue, or no id
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function uploadState(
  queue: Queue,
  jobId: string,
  patience?: RedisPatience,
): Promise<JobState | 'unknown'> {
  assertJobOf(queue, jobId);
  return askRedis('find the job', () => queue.getJobState(jobId), patience);
}

async function cancel(queue: Queue, jobId: string): Promise<boolean> {
  const job = await readJob(queue, jobId);
  if (job === undefined) return false;
  const state = await job.getState();
  if (state === 'completed') return false;
  const client = await queue.backend.client;
  const prefix = storePrefix(queue.opts.prefix, queue.name);
  const hasSession = (await client.hget(`${prefix}:jobs`, uploadName(job))) !== null;
  // Whoever takes it in this moment finds the flag.
  await client.hset(`${prefix}:cancelled`, { [uploadName(job)]: '1' });
  if (state === 'active') return true;
  try {
    if (!hasSession) {
      await job.remove();
      await client.hdel(`${prefix}:cancelled`, uploadName(job));
    } else if (state === 'failed') {
      await job.retry();
    } else if (state === 'delayed') {
      await job.promote();
    }
  } catch (error) {
    // A worker took it in between, and finds the flag.
    if (!(await job.isActive())) throw error;
  }
  return true;
}

function bulkEntry(upload: FleetUploadOptions): {
  name: string;
  data: FleetJobData;
  opts: JobsOptions;
} {
  const data = toJobData(upload);
  const priority = bullmqPriority(upload.priority);
  return { name: JOB_NAME, data, opts: { ...JOB_OPTIONS, priority, ...upload.jobOptions } };
}
