/**
 * A promise to settle from outside, made when somebody wants it; when nobody awaits it, its rejection
 * harms no process.
 */
export class Settleable<T> {
  #promise: Promise<T> | undefined;
  #settle: { resolve: (value: T) => void; reject: (error: unknown) => void } | undefined;
  #outcome: { readonly value: T } | { readonly error: unknown } | undefined;

  get promise(): Promise<T> {
    if (this.#promise === undefined) {
      this.#promise = new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
      });
      this.#promise.catch(() => {});
      this.#pass();
    }
    return this.#promise;
  }

  resolve(value: T): void {
    this.#outcome ??= { value };
    this.#pass();
  }

  reject(error: unknown): void {
    this.#outcome ??= { error };
    this.#pass();
  }

  #pass(): void {
    if (this.#outcome === undefined) return;
    if ('error' in this.#outcome) this.#settle?.reject(this.#outcome.error);
    else this.#settle?.resolve(this.#outcome.value);
  }
}
