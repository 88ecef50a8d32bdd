import { unlessAborted } from './abort.js';
import { Deferred } from './deferred.js';

/** Lets one caller in at a time, in the order in which they came. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /**
   * Waits until nobody else holds it.
   *
   * @returns what gives it back.
   * @throws BITS_ERR_ABORTED, or the signal's reason, when the signal aborts during the wait
   */
  async acquire(signal: AbortSignal | undefined): Promise<() => void> {
    const before = this.#last;
    const released = new Deferred<void>();
    // Also after `before`: a caller that stops waiting lets nobody overtake the holder.
    this.#last = before.then(() => released.promise);
    try {
      await unlessAborted(before, signal);
    } catch (error) {
      released.resolve();
      throw error;
    }
    return () => released.resolve();
  }
}
