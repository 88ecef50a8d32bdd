/**
 * An async iterable of the newest value: a slow consumer misses values in between and never piles
 * them up. It ends with `end`, or throws the error that `end` was given.
 */
export class ProgressStream<T> implements AsyncIterable<T> {
  readonly #start: () => void;
  #value: T | undefined;
  #version = 0;
  #end: { readonly error?: unknown } | undefined;
  #waiting: (() => void)[] = [];

  /** @param start called when somebody begins to iterate */
  constructor(start: () => void) {
    this.#start = start;
  }

  push(value: T): void {
    this.#value = value;
    this.#version++;
    this.#wake();
  }

  end(end: { readonly error?: unknown } = {}): void {
    this.#end = end;
    this.#wake();
  }

  /** Another run begins. */
  reopen(): void {
    this.#end = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    this.#start();
    let seen = 0;
    let left = false;
    const next = async (): Promise<IteratorResult<T, undefined>> => {
      while (!left && this.#version === seen && this.#end === undefined) {
        await new Promise<void>((wake) => this.#waiting.push(wake));
      }
      if (!left && this.#version !== seen) {
        seen = this.#version;
        return { done: false, value: this.#value as T };
      }
      const isFailed = !left && this.#end !== undefined && 'error' in this.#end;
      left = true;
      if (isFailed) throw this.#end?.error;
      return { done: true, value: undefined };
    };
    return {
      next,
      return: async () => {
        left = true;
        this.#wake();
        return { done: true, value: undefined };
      },
    };
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
