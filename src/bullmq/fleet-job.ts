import { Job, type MinimalQueue, type Queue } from 'bullmq';
import { assertMethods, mustBe } from '../common/check-options.js';
import { isErrorLike } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import type { UploadResult, UploadWarning } from '../job/events.js';
import type { StoredReply } from '../reply/sink.js';
import type { FleetJobData } from './job-data.js';
import type { FleetProgress } from './job-progress.js';
import { keyPrefix } from './redis-store.js';

/** A queue of BullMQ whose jobs are uploads. */
export type FleetQueue = Queue<FleetJobData, FleetResult, string>;

/** One job of BullMQ that is an upload. */
export type FleetJob = Job<FleetJobData, FleetResult, string>;

/** What a job of BullMQ returns. */
export interface FleetResult extends Omit<UploadResult, 'reply'> {
  /** The worker that finished the upload, on whose machine the reply is. */
  readonly worker: string;
  /** Where the reply is, in an upload-reply job. */
  readonly reply: Omit<StoredReply, 'data'> | undefined;
}

/** What an `UploadWorker` tells. */
export interface UploadWorkerEvents {
  started: [job: FleetJob];
  progress: [job: FleetJob, progress: FleetProgress];
  done: [job: FleetJob, result: FleetResult];
  /** The job went back to the queue, for any worker. */
  returned: [job: FleetJob, reason: string, delayMs: number];
  /** `isFinal`: BullMQ does not try it again, and keeps it as failed. */
  failed: [job: FleetJob, error: Error, isFinal: boolean];
  /** About the job, or else about the worker. */
  warning: [warning: UploadWarning, job: FleetJob | undefined];
}

/** That of BullMQ. */
export const DEFAULT_PREFIX = 'bull';

export const DEFAULT_QUEUE_NAME = 'uploads';

/**
 * Checked before anything is connected, which would keep the process alive.
 * @throws BITS_ERR_ARGUMENT
 */
export function checkQueueName(name: unknown): void {
  const isRight = typeof name === 'string' && name !== '' && !name.includes(':');
  mustBe(isRight, 'queueName', 'a text without colons that is not empty');
}

/** @throws BITS_ERR_ARGUMENT for what is no `Queue` of BullMQ */
export function assertQueue(queue: Queue): void {
  assertMethods('queue', queue, ['addBulk', 'getJobState', 'getJobCounts']);
}

/** @throws BITS_ERR_ARGUMENT */
export function assertJobOf(queue: Queue, jobId: string): void {
  assertQueue(queue);
  mustBe(typeof jobId === 'string' && jobId !== '', 'jobId', 'a text that is not empty');
}

/** Some of BullMQ's keys of a queue. */
export function queueKeys(bullmqPrefix: string, queueName: string): string[] {
  return ['meta', 'wait'].map((name) => `${bullmqPrefix}:${queueName}:${name}`);
}

/** What the keys of a queue's records begin with. */
export function storePrefix(bullmqPrefix: string | undefined, queueName: string): string {
  return keyPrefix(`bits-upload:${bullmqPrefix ?? DEFAULT_PREFIX}:${queueName}`);
}

/** The name of a job in the store: an id may be given again when its job was removed. */
export function uploadName({ id, timestamp }: Pick<Job, 'id' | 'timestamp'>): string {
  return `${timestamp}:${id}`;
}

/** The id and the time of a job, of its name in the store. */
export function parseUploadName(name: string): { id: string; timestamp: number } {
  const colon = name.indexOf(':');
  return { id: name.slice(colon + 1), timestamp: Number(name.slice(0, colon)) };
}

/**
 * Reads a job that anyone may have written who can write to Redis.
 * @throws BITS_ERR_STORE with the reason `damaged` when nobody can read it
 */
export async function readJob(queue: MinimalQueue, id: string): Promise<FleetJob | undefined> {
  try {
    return await Job.fromId(queue, id);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    throw new BitsStoreError(
      'damaged',
      `The job ${JSON.stringify(id)} in Redis is damaged: the next worker that takes it fails it. Enqueue the upload again.`,
    );
  }
}

/** Whether BullMQ could not make sense of what Redis holds. */
export function isUnreadable(error: unknown): boolean {
  return isErrorLike(error) && /^(Syntax|Type)Error$/.test(error.name);
}
