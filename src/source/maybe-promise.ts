/** What is there already, or comes. */
export type MaybePromise<T> = T | Promise<T>;

/** Goes on with a value: within this turn when it is there, for each turn of a small file shows. */
export function whenThere<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
