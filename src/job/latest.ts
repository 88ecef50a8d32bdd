/**
 * An async iterable of the newest value: a slow consumer misses values in between and never piles
 * them up. It ends when `end` is called.
 */
export class Latest<T> implements AsyncIterable<T> {
  readonly #onFirstUse: () => void;
  #value: T | undefined;
  #version = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(onFirstUse: () => void) {
    this.#onFirstUse = onFirstUse;
  }

  push(value: T): void {
    this.#value = value;
    this.#version++;
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Lets a further run push again. */
  reopen(): void {
    this.#ended = false;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    this.#onFirstUse();
    let seen = 0;
    let left = false;
    const next = async (): Promise<IteratorResult<T, undefined>> => {
      while (!left && this.#version === seen && !this.#ended) {
        await new Promise<void>((wake) => this.#waiting.push(wake));
      }
      if (left || this.#version === seen) return { done: true, value: undefined };
      seen = this.#version;
      return { done: false, value: this.#value as T };
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
}
