import type { MinimalQueue } from 'bullmq';
import { isBitsError } from '../errors.js';
import { parseUploadName, readJob } from './fleet-job.js';
import type { RedisStore } from './redis-store.js';

/**
 * Drops what is left of jobs that are over, or that somebody removed: their worker may have died after
 * BullMQ heard of the outcome.
 * @returns of how many
 */
export async function sweepStore(store: RedisStore, queue: MinimalQueue): Promise<number> {
  let swept = 0;
  for (const name of await store.holders()) {
    const { id, timestamp } = parseUploadName(name);
    if (!(await isOver(queue, id, timestamp))) continue;
    await store.forget(name);
    swept++;
  }
  return swept;
}

async function isOver(queue: MinimalQueue, id: string, timestamp: number): Promise<boolean> {
  try {
    const job = await readJob(queue, id);
    // A failed one may be retried, and then resumes.
    return job?.timestamp !== timestamp || (await job.isCompleted());
  } catch (error) {
    // One that nobody can read must not keep the others.
    if (isBitsError(error, 'BITS_ERR_STORE')) return false;
    throw error;
  }
}
