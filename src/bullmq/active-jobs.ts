import { createHash } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { UnrecoverableError, type Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { tell } from '../common/tell.js';
import type { UploadWarning } from '../job/events.js';
import { readJob, type UploadWorkerEvents } from './fleet-job.js';
import { MAX_LOCK_MS, type RedisStore } from './redis-store.js';

/** What a job that nobody can read holds for people instead of its data. */
const MAX_SHOWN_CHARS = 1000;

/**
 * Looks after the jobs that would be active for ever: one that BullMQ cannot read is found as stalled
 * and taken again and again, and one whose lock has no end is never found.
 */
export async function mendActiveJobs(
  worker: Worker,
  redis: Redis,
  store: RedisStore,
  events: EventEmitter<UploadWorkerEvents>,
): Promise<void> {
  const limit = async (what: string, key: string): Promise<void> => {
    if (!(await store.limitLock(key))) return;
    tell(events, 'warning', endlessLock(what, key), undefined);
  };
  await limit('of the search for stalled jobs', worker.toKey('stalled-check'));
  for (const id of await redis.lrange(worker.toKey('active'), 0, -1)) {
    const key = worker.toKey(id);
    await limit(`of the job ${id}`, `${key}:lock`);
    const damages = await damagesOf(redis, key);
    if (damages.length === 0) continue;
    const names = damages.map(({ field }) => field).join(', ');
    const reason = `BITS_ERR_ARGUMENT: BullMQ cannot read this job: what Redis holds as its ${names} was damaged, or not written by enqueueUploads. Enqueue the upload again.`;
    const args = damages.flatMap(({ field, sha1, instead }) => [field, sha1, instead]);
    if (!(await store.doom(key, reason, args))) continue;
    const token = await redis.get(`${key}:lock`);
    // Who takes a job that has no lock any more fails it.
    if (token === null) continue;
    const job = await readJob(worker, id);
    const error = new UnrecoverableError(reason);
    await job?.moveToFailed(error, token, false);
    if (job !== undefined) tell(events, 'failed', job, error, true);
  }
}

export function endlessLock(what: string, key: string): UploadWarning {
  return {
    code: 'lock-without-end',
    message:
      `The lock ${what} had no end in Redis, and no worker sets such a one. Now it ends in ${MAX_LOCK_MS / 60_000} minutes, ` +
      `unless a worker renews it; if none is at the upload, remove it: DEL ${key}`,
  };
}

interface Damage {
  readonly field: string;
  readonly sha1: string;
  /** Empty: nothing. */
  readonly instead: string;
}

/** What of a job BullMQ reads as JSON and cannot. */
async function damagesOf(redis: Redis, key: string): Promise<Damage[]> {
  const fields = ['data', 'opts', 'progress', 'parent', 'rjk'];
  const values = await redis.hmgetBuffer(key, ...fields);
  const damages: Damage[] = [];
  const [data, opts, progress, parent, repeatKey] = values.map((value) => value ?? undefined);
  const check = (field: string, value: Buffer | undefined, isGood: boolean, instead: string) => {
    if (value === undefined || isGood) return;
    damages.push({ field, sha1: createHash('sha1').update(value).digest('hex'), instead });
  };
  const shown = String(data).slice(0, MAX_SHOWN_CHARS);
  check('data', data, parsed(data) !== undefined, JSON.stringify(shown));
  check('opts', opts, isObject(parsed(opts)), '{}');
  check('progress', progress, parsed(progress) !== undefined, '0');
  check('parent', parent, isObject(parsed(parent)), '');
  // BullMQ would add the next repetition, and needs to know when.
  const repeats = parsed(opts) as { readonly repeat?: unknown } | null | undefined;
  check('rjk', repeatKey, isObject(repeats?.repeat), '');
  return damages;
}

function parsed(text: Buffer | undefined): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
