import { addAbortListener, setMaxListeners } from 'node:events';
import { BitsAbortError, isBitsError } from '../errors.js';
import { propertyOf } from './error-like.js';

/** What to reject with after an abort: the signal's own reason when it is an error of this package. */
export function abortError(signal: AbortSignal): Error {
  const { reason } = signal;
  return isBitsError(reason)
    ? reason
    : new BitsAbortError('The operation was aborted', { cause: reason });
}

/** @throws BITS_ERR_ABORTED, or the signal's reason, once the signal has aborted */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** A reason to abort with when what is stopped will be continued, so that nothing begun is thrown away. */
export function pauseReason(message: string): BitsAbortError {
  return Object.assign(new BitsAbortError(message), { isPause: true });
}

/** Whether it was aborted with a {@link pauseReason}. */
export function isPaused(signal: AbortSignal | undefined): boolean {
  return isBitsError(signal?.reason) && propertyOf(signal.reason, 'isPause') === true;
}

/** Calls back once when the signal aborts, at once when it has; stops listening when disposed of. */
export function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) {
    listener();
    return { [Symbol.dispose]() {} };
  }
  // Many jobs may share a signal, and Node takes more than ten listeners for a leak.
  setMaxListeners(0, signal);
  return addAbortListener(signal, listener);
}

/**
 * The one race with an abort: settles as `work` does, or rejects as soon as the signal aborts.
 *
 * The work is not stopped by it; a failure that comes later concerns nobody.
 * @throws BITS_ERR_ABORTED, or the signal's reason
 */
export function unlessAborted<T>(
  work: PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const listening = signal && onAbort(signal, () => reject(abortError(signal)));
    work.then(
      (value) => {
        listening?.[Symbol.dispose]();
        resolve(value);
      },
      (error) => {
        listening?.[Symbol.dispose]();
        reject(error);
      },
    );
  });
}
