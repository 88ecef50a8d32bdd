import { isErrorLike } from '../common/error-like.js';
import { BitsStoreError, type StoreErrorReason } from '../errors.js';

const ADVICE: readonly (readonly [RegExp, StoreErrorReason, string])[] = [
  [/^OOM\b/, 'full', 'its memory is full: raise maxmemory, or remove old jobs'],
  [
    /^(NOAUTH|WRONGPASS|ERR (invalid password|AUTH))/,
    'denied',
    'it refused the user name or the password: check those of the connection',
  ],
  [/^NOPERM\b/, 'denied', 'this user may not run the command: check its ACL'],
  [/^READONLY\b/, 'unavailable', 'it is a replica: connect to the primary'],
  [/^MISCONF\b/, 'unavailable', 'it cannot write to its disk: check the disk of Redis'],
  [/^(LOADING|MASTERDOWN|CLUSTERDOWN|BUSY)\b/, 'unavailable', 'it is not ready: try again later'],
  [
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|Connection is closed/,
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
  const [, reason, advice] = known ?? [undefined, 'unavailable' as const, firstWords(message)];
  return new BitsStoreError(reason, `Redis could not ${doing}: ${advice}.`);
}

/** Whether trying again cannot help. */
export function isDenied(error: unknown): boolean {
  return redisError('', error).reason === 'denied';
}

/** The code of Redis and a little more: the rest may repeat arguments. */
function firstWords(message: string): string {
  const line = message.split(/[\r\n]/, 1)[0] ?? '';
  const text = line.replace(/[^\x20-\x7e]/g, '\ufffd').slice(0, 80);
  return text === '' ? 'it gave no reason' : text;
}
