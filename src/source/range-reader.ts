import { isUint8Array } from 'node:util/types';
import { nextTurn } from '../common/clock.js';
import { describeError } from '../common/error-like.js';
import { BitsError, isBitsError } from '../errors.js';
import type { OpenSource } from './source.js';

/** A source that gives so many empty pieces in a row, within less than a second, is out of order. */
const MAX_EMPTY_PIECES = 100_000;

/**
 * Reads a range of a source that may be a caller's own: gives its bytes, each of them and no others,
 * or fails.
 *
 * Whoever stops early waits for nothing: a source that hangs does not hold the request back.
 * @throws BITS_ERR_SOURCE, or the error of this package that the source threw
 */
export function readRange(
  source: OpenSource,
  start: number,
  end: number,
): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => new RangeReader(source, start, end) };
}

/** Not a generator that yields the source's pieces: that takes three turns for each. */
class RangeReader implements AsyncIterator<Uint8Array, undefined> {
  readonly #source: OpenSource;
  readonly #start: number;
  readonly #end: number;
  #pieces: AsyncIterator<unknown> | undefined;
  #position: number;
  #isStopped = false;

  constructor(source: OpenSource, start: number, end: number) {
    this.#source = source;
    this.#start = start;
    this.#end = end;
    this.#position = start;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      this.#pieces ??= this.#source.read(this.#start, this.#end)[Symbol.asyncIterator]();
      for (let empty = 0; empty < MAX_EMPTY_PIECES && !this.#isStopped; empty++) {
        const { done, value } = await this.#pieces.next();
        if (done) {
          if (this.#position === this.#end) return { done: true, value: undefined };
          throw this.#wrongLength('fewer');
        }
        if (!isUint8Array(value)) throw failure('the source gave a piece that is not a Uint8Array');
        this.#position += value.byteLength;
        if (this.#position > this.#end) {
          this.#stop();
          throw this.#wrongLength('more');
        }
        if (value.byteLength > 0) return { done: false, value };
        // Empty pieces must not starve timers and signals.
        await nextTurn();
      }
      if (this.#isStopped) return { done: true, value: undefined };
      this.#stop();
      throw failure(`the source gave ${MAX_EMPTY_PIECES} empty pieces in a row`);
    } catch (error) {
      if (isBitsError(error)) throw error;
      throw failure(`reading the source failed: ${describeError(error)}`, error);
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#stop();
    return { done: true, value: undefined };
  }

  #wrongLength(given: string): BitsError {
    const wanted = this.#end - this.#start;
    return failure(
      `the source gave ${given} than the ${wanted} bytes from ${this.#start} to ${this.#end}: ` +
        'its byteLength and its read() must agree',
    );
  }

  #stop(): void {
    this.#isStopped = true;
    // What goes wrong while a source is released changes nothing for the request.
    (async () => this.#pieces?.return?.())().catch(() => {});
  }
}

function failure(message: string, cause?: unknown): BitsError {
  return new BitsError('BITS_ERR_SOURCE', message, { cause });
}
