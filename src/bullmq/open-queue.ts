import { Queue } from 'bullmq';
import {
  assertKnown,
  assertOptions,
  type OptionNames,
  text,
  wholeNumber,
} from '../common/check-options.js';
import { checkQueueName, DEFAULT_PREFIX, DEFAULT_QUEUE_NAME, queueKeys } from './fleet-job.js';
import { connectRedis, type RedisConnectionInput } from './redis-connection.js';

/** Options of `openUploadQueue`; a worker has them too. */
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

const CONNECT_TIMEOUT_MS = 10_000;

export const CONNECTION_OPTION_NAMES: OptionNames<UploadQueueConnection> = {
  connection: true,
  queueName: true,
  prefix: true,
  connectTimeoutMs: true,
};

/**
 * Opens the queue of the upload workers, for those who have none of BullMQ's own.
 * @throws BITS_ERR_ARGUMENT for options that cannot work
 * @throws BITS_ERR_STORE when Redis does not answer in time, or refuses the user
 */
export async function openUploadQueue(options: UploadQueueConnection): Promise<OpenUploadQueue> {
  assertOptions('openUploadQueue', options);
  assertKnown('', options, CONNECTION_OPTION_NAMES);
  const { queueName, prefix, redis, evictionPolicy } = await connectQueue(options);
  const queue = new Queue(queueName, { connection: redis, prefix });
  // A call that is under way says what is wrong; BullMQ would print it.
  queue.on('error', () => {});
  return {
    queue,
    evictionPolicy,
    async close() {
      // BullMQ would wait for a Redis that is away.
      if (redis.status !== 'ready') redis.disconnect();
      await queue.close();
      redis.disconnect();
    },
  };
}

/**
 * Connects to the Redis of a queue, once it is clear that its name can work.
 * @throws BITS_ERR_ARGUMENT, and BITS_ERR_STORE as `openUploadQueue`
 */
export async function connectQueue({
  connection,
  queueName = DEFAULT_QUEUE_NAME,
  prefix = DEFAULT_PREFIX,
  connectTimeoutMs,
}: UploadQueueConnection) {
  checkQueueName(queueName);
  text('prefix', prefix);
  const connected = await connectRedis(connection, {
    timeoutMs: wholeNumber('connectTimeoutMs', connectTimeoutMs, CONNECT_TIMEOUT_MS, 1),
    keys: queueKeys(prefix, queueName),
  });
  return { ...connected, queueName, prefix };
}
