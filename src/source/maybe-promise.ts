/** What is there already, or comes. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * By shape: where an app has put a `Promise` of its own in place of the engine's, as zone.js does,
 * what an asynchronous function returns is no instance of it.
 */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** Goes on with a value: within this turn when it is there, for each turn of a small file shows. */
export function whenThere<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
): MaybePromise<U> {
  return isPromise(value) ? value.then(next) : next(value);
}
