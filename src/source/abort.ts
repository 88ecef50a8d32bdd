import { BitsAbortError } from '../errors.js';

/** @throws BITS_ERR_ABORTED once the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/**
 * Settles as `pending` does, or rejects as soon as the signal fires.
 * @throws BITS_ERR_ABORTED
 */
export function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return pending;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(abortError(signal));
    if (signal.aborted) onAbort();
    // Listening anew for each promise: a race against one long-lived promise would grow with it.
    else signal.addEventListener('abort', onAbort, { once: true });
    pending.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function abortError(signal: AbortSignal): BitsAbortError {
  return new BitsAbortError('The source was aborted while it was being opened.', {
    cause: signal.reason,
  });
}
