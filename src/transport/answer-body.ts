import { Deferred } from '../common/deferred.js';
import { DRAIN_BYTES } from './answer-head.js';
import type { Connection } from './connection.js';
import type { Deadline } from './deadline.js';

/** The body of an answer as it arrives: the connection is read only while somebody reads here. */
export class AnswerBody implements AsyncIterable<Uint8Array> {
  readonly #connection: Pick<Connection, 'pause' | 'resume'>;
  readonly #deadline: Deadline;
  readonly #onLeave: () => void;
  readonly #chunks: Uint8Array[] = [];
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;
  #change: Deferred<void> | undefined;

  /** @param onLeave called when nobody reads any more, at the end of the body or before it */
  constructor(
    connection: Pick<Connection, 'pause' | 'resume'>,
    deadline: Deadline,
    onLeave: () => void,
  ) {
    this.#connection = connection;
    this.#deadline = deadline;
    this.#onLeave = onLeave;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#connection.pause();
    this.#change?.resolve();
  }

  end(): void {
    this.#isOver = true;
    this.#change?.resolve();
  }

  /** Ends the body with an error at once: a part of it is of no use. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#failure = { error };
    this.#change?.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined> {
    try {
      for (;;) {
        if (this.#failure) throw this.#failure.error;
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) yield chunk;
        else if (this.#isOver) return;
        else await this.#untilChange();
      }
    } finally {
      this.#onLeave();
    }
  }

  async #untilChange(): Promise<void> {
    this.#change = new Deferred();
    // Only this wait counts: how long the reader works on a chunk is not the network's fault.
    this.#deadline.run('answer-body');
    this.#connection.resume();
    await this.#change.promise;
    this.#deadline.end();
  }
}

/** The body of an answer that nobody reads. */
export const EMPTY_BODY: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
};

/** Reads an answer to its end, within bounds, so that the connection can be used again. */
export async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.byteLength;
      if (bytes > DRAIN_BYTES) return;
    }
  } catch {
    // The head of the answer says all that matters.
  }
}
