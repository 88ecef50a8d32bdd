import { setTimeout as delay } from 'node:timers/promises';
import { unlessAborted } from '../common/abort.js';
import { optionGroup, wholeNumber } from '../common/check-options.js';
import { isErrorLike } from '../common/error-like.js';
import { BitsStoreError } from '../errors.js';
import { isOfRedis, mayPassSoon, redisError } from './redis-errors.js';

/** How long a function of a fleet waits for Redis. */
export interface RedisPatience {
  /**
   * How long Redis may take to answer, and to come back when it was lost, in milliseconds.
   * @default 30000
   */
  timeoutMs?: number | undefined;
}

/** Longer than most failovers take. */
const TIMEOUT_MS = 30_000;

const AGAIN_MS = 500;

/**
 * Asks BullMQ or Redis, whose clients would wait for ever for a Redis that is away, and asks again while
 * Redis says that it is not ready. What it asks may be done twice, and also after this has failed.
 * @throws BITS_ERR_ARGUMENT
 * @throws BITS_ERR_STORE for what Redis refuses, and when it does not answer in time
 */
export async function askRedis<T>(
  doing: string,
  ask: () => Promise<T>,
  patience?: RedisPatience,
): Promise<T> {
  const given = optionGroup('patience', patience, { timeoutMs: true });
  const timeoutMs = wholeNumber('timeoutMs', given.timeoutMs, TIMEOUT_MS, 1);
  const ended = new AbortController();
  let last: unknown;
  const timer = setTimeout(() => {
    ended.abort(
      last === undefined
        ? new BitsStoreError(
            'unavailable',
            `Redis could not ${doing}: it has not answered for ${timeoutMs / 1000} s. Check that it runs, and the network to it.`,
          )
        : redisError(doing, last),
    );
  }, timeoutMs);
  const attempts = async (): Promise<T> => {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!mayPassSoon(error)) throw error;
        last = error;
      }
      await delay(AGAIN_MS, undefined, { signal: ended.signal });
    }
  };
  try {
    return await unlessAborted(attempts(), ended.signal);
  } catch (error) {
    throw isErrorLike(error) && isOfRedis(error) ? redisError(doing, error) : error;
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}
