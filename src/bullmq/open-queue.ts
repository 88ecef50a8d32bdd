import { Queue } from 'bullmq';
import { checkQueueName, DEFAULT_QUEUE_NAME, queueKeys } from './fleet-job.js';
import { connectRedis, evictionPolicy, type RedisConnectionInput } from './redis-connection.js';

/** Options of `openUploadQueue`. */
export interface UploadQueueConnection {
  /** A URL such as `redis://host:6379`, or options of ioredis. */
  connection: RedisConnectionInput;
  /** Of BullMQ's queue. @default 'uploads' */
  queueName?: string | undefined;
  /** The prefix of BullMQ's keys. @default 'bull' */
  prefix?: string | undefined;
  /** How long Redis may take to answer, in milliseconds. @default 10000 */
  connectTimeoutMs?: number | undefined;
}

/** A queue of BullMQ with a connection of its own. */
export interface OpenUploadQueue {
  readonly queue: Queue;
  /** `maxmemory-policy` of a Redis that may drop jobs when its memory is full. */
  readonly evictionPolicy: string | undefined;
  close(): Promise<void>;
}

export const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Opens the queue of the upload workers, for those who have none of BullMQ's own.
 * @throws BITS_ERR_ARGUMENT for options that cannot work
 * @throws BITS_ERR_STORE when Redis does not answer in time, or refuses the user
 */
export async function openUploadQueue({
  connection,
  queueName = DEFAULT_QUEUE_NAME,
  prefix,
  connectTimeoutMs = CONNECT_TIMEOUT_MS,
}: UploadQueueConnection): Promise<OpenUploadQueue> {
  checkQueueName(queueName);
  const redis = await connectRedis(connection, {
    timeoutMs: connectTimeoutMs,
    keys: queueKeys(prefix, queueName),
  });
  const queue = new Queue(queueName, {
    connection: redis,
    ...(prefix !== undefined && { prefix }),
  });
  // A call that is under way says what is wrong; BullMQ would print it.
  queue.on('error', () => {});
  return {
    queue,
    evictionPolicy: await evictionPolicy(redis, { timeoutMs: connectTimeoutMs }),
    async close() {
      // BullMQ would wait for a Redis that is away.
      if (redis.status !== 'ready') redis.disconnect();
      await queue.close();
      redis.disconnect();
    },
  };
}
