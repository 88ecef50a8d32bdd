export interface AnswerBodyEvents {
  /** The consumer waits for bytes. */
  readonly onWait: () => void;
  /** The consumer is busy with what it has. */
  readonly onBusy: () => void;
  /** The consumer left before the end. */
  readonly onLeave: () => void;
  readonly pause: () => void;
  readonly resume: () => void;
}

/** The body of an answer as it comes in: read on only while somebody reads here. */
export class AnswerBody
  implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, undefined, undefined>
{
  readonly #events: AnswerBodyEvents;
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #waiting: (() => void) | undefined;

  constructor(events: AnswerBodyEvents) {
    this.#events = events;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  push(chunk: Uint8Array): void {
    // undici hands one over after each pause; pausing for it would never end.
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#events.pause();
    this.#waiting?.();
  }

  end(): void {
    this.#ended = true;
    this.#waiting?.();
  }

  /** Ends the body with an error, at once: what came before it is not worth having. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.#chunks.length = 0;
    this.#waiting?.();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#failure) {
        this.#ended = true;
        const { error } = this.#failure;
        this.#failure = undefined;
        throw error;
      }
      const value = this.#chunks.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#ended) return { done: true, value: undefined };
      this.#events.onWait();
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
        this.#events.resume();
      });
      this.#waiting = undefined;
      this.#events.onBusy();
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    const left = !this.#ended;
    this.#ended = true;
    this.#failure = undefined;
    this.#chunks.length = 0;
    if (left) this.#events.onLeave();
    return { done: true, value: undefined };
  }
}

/** The body of an answer that nobody wants. */
export const EMPTY_BODY: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
};
