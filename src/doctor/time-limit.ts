import { BitsAbortError, BitsTimeoutError, isBitsError } from '../errors.js';

/**
 * Waits for work no longer than a time, and not after the caller's signal aborts.
 *
 * @param what fails then, as the beginning of a sentence.
 *
 * The work is told by its signal, and need not obey: a look-up of a host name cannot be cut short.
 * @throws BITS_ERR_TIMEOUT, BITS_ERR_ABORTED, and what the work throws.
 */
export async function withinLimit<T>(
  limitMs: number,
  signal: AbortSignal | undefined,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw aborted();
  const controller = new AbortController();
  let giveUp!: (error: Error) => void;
  const over = new Promise<never>((_resolve, reject) => {
    giveUp = (error) => {
      reject(error);
      controller.abort(error);
    };
  });
  const onAbort = () => giveUp(aborted());
  const timer = setTimeout(() => {
    giveUp(new BitsTimeoutError(`${what} within ${limitMs} ms`));
  }, limitMs);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const working = work(controller.signal);
    // Its failure comes too late when the time is over.
    working.catch(() => {});
    return await Promise.race([working, over]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

export function aborted(): BitsAbortError {
  return new BitsAbortError('The diagnosis was aborted');
}

/** A finding is made of every error but the caller's abort. */
export function unlessAborted(error: unknown): unknown {
  if (isBitsError(error) && error.code === 'BITS_ERR_ABORTED') throw error;
  return error;
}
