import { setTimeout as delay } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { BitsArgumentError, BitsStoreError } from '../errors.js';
import { askRedis, type RedisPatience } from './ask-redis.js';
import { isDenied, redisError, troubleOf } from './redis-errors.js';

/** `redis://` or `rediss://` URL, or options of ioredis. */
export type RedisConnectionInput = string | RedisOptions;

const MAX_RECONNECT_MS = 2000;

/** Twice as long as the longest command of BullMQ waits: a network that was cut says nothing. */
const SOCKET_TIMEOUT_MS = 20_000;

interface ConnectedRedis {
  readonly redis: Redis;
  /** `maxmemory-policy` of a Redis that may drop keys when its memory is full. */
  readonly evictionPolicy: string | undefined;
}

interface ConnectSetting {
  readonly timeoutMs: number;
  /** Some of a queue: on a cluster all of them must be on the node that is connected to. */
  readonly keys: readonly string[];
}

/**
 * Connects to Redis, and waits until it answers.
 * @throws BITS_ERR_ARGUMENT when it is neither a URL nor options
 * @throws BITS_ERR_STORE when it does not answer in time, or refuses the user; what it says names the
 *   host, and never the password
 */
export async function connectRedis(
  input: RedisConnectionInput,
  { timeoutMs, keys }: ConnectSetting,
): Promise<ConnectedRedis> {
  const options = {
    socketTimeout: SOCKET_TIMEOUT_MS,
    // After a failover the name leads elsewhere, and the connection still to what is a replica by now.
    reconnectOnError: (error: Error) => troubleOf(error) === 'replica',
    ...(typeof input === 'string' ? {} : checkOptions(input)),
    lazyConnect: true,
    // As BullMQ wants it: commands wait while Redis is restarted.
    maxRetriesPerRequest: null,
    retryStrategy: (times: number) => Math.min(MAX_RECONNECT_MS, 250 * 2 ** Math.min(times, 3)),
  };
  const redis =
    typeof input === 'string' ? new Redis(checkUrl(input), options) : new Redis(options);
  const where = `${redis.options.host ?? redis.options.path}:${redis.options.port}`;
  let last: unknown;
  const ended = new AbortController();
  const refused = new Promise<never>((_, reject) => {
    redis.on('error', (error) => {
      last = error;
      if (isDenied(error)) reject(error);
    });
  });
  try {
    // Its first failure is no reason to give up: a Redis that starts refuses connections.
    redis.connect().catch((error: unknown) => {
      last ??= error;
    });
    const patience = delay(timeoutMs, undefined, { signal: ended.signal }).then(() => {
      throw new BitsStoreError(
        'unavailable',
        `No Redis answered at ${where} within ${timeoutMs / 1000} s: check that it runs, its host name and its port.`,
      );
    });
    await Promise.race([redis.exists(...keys), refused, patience]);
    return { redis, evictionPolicy: await evictionPolicy(redis, { timeoutMs }) };
  } catch (error) {
    redis.disconnect();
    throw redisError(`be used at ${where}`, last !== undefined && isDenied(last) ? last : error);
  } finally {
    ended.abort();
    refused.catch(() => {});
  }
}

/**
 * What may lose records although Redis runs, for a warning.
 * @returns undefined when Redis keeps what it has, or does not say
 */
async function evictionPolicy(redis: Redis, patience: RedisPatience): Promise<string | undefined> {
  const memory = await askRedis('tell', () => redis.info('memory'), patience).catch(() => '');
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
  return policy === 'noeviction' ? undefined : policy;
}

/** Without any, ioredis would connect to this machine. */
function checkOptions(options: unknown): object {
  if (typeof options === 'object' && options !== null && !('connect' in options)) return options;
  throw new BitsArgumentError(
    'The connection must be a URL such as redis://host:6379, or options of ioredis: a worker makes a client of its own.',
  );
}

function checkUrl(url: string): string {
  const isRedis = /^rediss?:\/\//i.test(url) && URL.canParse(url);
  if (isRedis) return url;
  // Without the URL, which may hold a password.
  throw new BitsArgumentError('The connection must be a URL such as redis://host:6379.');
}
