import { Job, type MinimalQueue } from 'bullmq';
import { parseUploadName } from './fleet-job.js';
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
    const job = await Job.fromId(queue, id);
    // A failed one may be retried, and then resumes.
    const isOver = job?.timestamp !== timestamp || (await job.isCompleted());
    if (!isOver) continue;
    await store.forget(name);
    swept++;
  }
  return swept;
}
