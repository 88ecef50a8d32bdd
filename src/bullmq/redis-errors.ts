import { isErrorLike } from '../common/error-like.js';
import { BitsStoreError, type StoreErrorReason } from '../errors.js';

const REPLICA = /\bREADONLY You can't write\b|instance state changed/;
const NOT_READY = /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b/;
const UNREACHABLE =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|EPIPE|EHOSTUNREACH|ENETUNREACH|Connection is closed|connection close|Socket timeout|max retries per request/;

const ADVICE: readonly (readonly [RegExp, StoreErrorReason, string])[] = [
  [/^OOM\b/, 'full', 'its memory is full: raise maxmemory, or remove old jobs'],
  [
    /^(NOAUTH|WRONGPASS|ERR (invalid password|AUTH))/,
    'denied',
    'it refused the user name or the password: check those of the connection',
  ],
  [/^NOPERM\b/, 'denied', 'this user may not run the command: check its ACL'],
  [
    REPLICA,
    'unavailable',
    'it is a replica, as the former primary is after a failover: connect to the primary',
  ],
  [
    /^CROSSSLOT\b/,
    'unavailable',
    'it is a cluster, on which the name of a queue, or its prefix, must be in braces, such as {uploads}',
  ],
  [
    /^MOVED \d+ ([\w.:-]+)/,
    'unavailable',
    'it is a cluster, of which another node has the queue: connect to $1',
  ],
  [/^MISCONF\b/, 'unavailable', 'it cannot write to its disk: check the disk of Redis'],
  [NOT_READY, 'unavailable', 'it is not ready: try again later'],
  [
    UNREACHABLE,
    'unavailable',
    'it cannot be reached: check that Redis runs, its host name and its port',
  ],
];

/**
 * Says what Redis refused and what to do. Without the cause, whose `command` holds the arguments, a
 * password among them.
 */
export function redisError(doing: string, cause: unknown): BitsStoreError {
  if (cause instanceof BitsStoreError) return cause;
  const message = isErrorLike(cause) ? cause.message : '';
  const known = ADVICE.find(([pattern]) => pattern.test(message));
  if (known === undefined) {
    return new BitsStoreError('unavailable', `Redis could not ${doing}: ${firstWords(message)}.`);
  }
  const [pattern, reason, advice] = known;
  const shown = advice.replace('$1', pattern.exec(message)?.[1] ?? '');
  return new BitsStoreError(reason, `Redis could not ${doing}: ${shown}.`);
}

/** Whether trying again cannot help. */
export function isDenied(error: unknown): boolean {
  return redisError('', error).reason === 'denied';
}

/** What is wrong with a Redis that a client may wait for. */
export function troubleOf({ message }: Error): 'replica' | 'away' | undefined {
  if (REPLICA.test(message)) return 'replica';
  return UNREACHABLE.test(message) || NOT_READY.test(message) ? 'away' : undefined;
}

/** Whether Redis, or the connection to it, says so, and not BullMQ. */
export function isOfRedis({ name, message }: Error): boolean {
  return (
    /^(ReplyError|AbortError|MaxRetriesPerRequestError)$/.test(name) || UNREACHABLE.test(message)
  );
}

/** Whether the same client may get a better answer in some seconds. */
export function mayPassSoon(error: unknown): boolean {
  if (!isErrorLike(error)) return false;
  const { message } = error;
  return REPLICA.test(message) || NOT_READY.test(message) || /connection close$/.test(message);
}

/** The code of Redis and a little more: the rest may repeat arguments. */
function firstWords(message: string): string {
  const line = message.split(/[\r\n]/, 1)[0] ?? '';
  const text = line.replace(/[^\x20-\x7e]/g, '\ufffd').slice(0, 80);
  return text === '' ? 'it gave no reason' : text;
}
