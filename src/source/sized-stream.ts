import { acceptOtherCopies } from '../across-copies.js';
import { throwIfAborted } from '../common/abort.js';
import { callOptions, isObject, mustBe, text } from '../common/check-options.js';
import { BitsError, BitsStateError } from '../errors.js';
import { type ChunkFeed, chunkFeed, nextBytes, type StreamInput } from './chunk-feed.js';
import type { ByteSource, OpenSource } from './source.js';

/** A stream whose length is known before it is read. */
export interface SizedStream {
  readonly stream: StreamInput;
  readonly byteLength: number;
}

/** A fragment is kept until it is acknowledged, so none is longer. */
export const MAX_WINDOW_BYTES = 8 * 1024 * 1024;

/** To find out where the server stands, the session sends up to 2.5 KiB before its offset again. */
const KEPT_BEHIND_BYTES = 8 * 1024;

/** What is kept is copied into blocks, so that a stream of tiny chunks takes no more memory. */
const BLOCK_BYTES = 256 * 1024;

/** The source cannot go on and never will: the upload ends, and its session is freed. */
export class LostSourceError extends BitsError {
  constructor(message: string, cause?: unknown) {
    super('BITS_ERR_SOURCE', message, { cause });
  }
}

acceptOtherCopies({ LostSourceError });

/**
 * A stream that is sent while it is read; only what the server has not acknowledged is kept in memory:
 * at most one fragment, of at most 8 MiB, and one chunk of the stream.
 *
 * The stream belongs to the source, as that of `streamSource`. `suspend()` and `resume()` work as long
 * as the server keeps the session; when it loses the session, the upload fails with BITS_ERR_SOURCE.
 * So it does, with the session cancelled, when the stream has fewer bytes or more: it has to end.
 * @throws BITS_ERR_ARGUMENT for a length that is no whole number, and as `streamSource`
 */
export function sizedStreamSource(
  source: SizedStream,
  options: { readonly name?: string | undefined } = {},
): ByteSource {
  mustBe(isObject(source), 'source', 'an object { stream, byteLength }');
  const { stream, byteLength } = source;
  const isLength = Number.isSafeInteger(byteLength) && byteLength >= 0;
  mustBe(isLength, 'byteLength of a source stream', 'a whole number, 0 or more');
  const name = text('name', callOptions('sizedStreamSource', options, { name: true }).name);
  const window = new StreamWindow(chunkFeed(stream), byteLength);
  let isInUse = false;
  return {
    name,
    async open(signal) {
      throwIfAborted(signal);
      if (isInUse) throw new BitsStateError('Another upload reads the source stream.');
      window.assertUsable();
      isInUse = true;
      return {
        byteLength,
        maxRangeBytes: MAX_WINDOW_BYTES,
        read: (start, end) => window.read(start, end),
        verify: () => window.verify(),
        async close() {
          isInUse = false;
        },
      } satisfies OpenSource;
    },
    async dispose() {
      // An upload that was refused the stream must not take it from the one that reads it.
      if (!isInUse) window.dispose();
    },
  };
}

/** The part of a stream that may be asked for again. */
class StreamWindow {
  readonly #feed: ChunkFeed;
  readonly #byteLength: number;
  /** From `#base` to `#fed`; each is full but the last one. */
  readonly #blocks: Uint8Array[] = [];
  #base = 0;
  #fed = 0;
  #hasEnded = false;
  /** One at a time: what a read that was given up had asked for belongs to the next one. */
  #pulling: Promise<void> | undefined;
  #failure: BitsError | undefined;

  constructor(feed: ChunkFeed, byteLength: number) {
    this.#feed = feed;
    this.#byteLength = byteLength;
  }

  assertUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#forget(start - KEPT_BEHIND_BYTES);
    for (let position = start; position < end; ) {
      this.assertUsable();
      if (position < this.#base) throw this.#fail(this.#gone(position));
      const piece = this.#pieceAt(position, end);
      if (piece === undefined) {
        await this.#pull();
        continue;
      }
      // Without its last piece no server takes the fragment, and so the file.
      if (position + piece.byteLength === this.#byteLength) await this.verify();
      yield piece;
      position += piece.byteLength;
    }
  }

  /** Waits for the end of the stream when all of its bytes are there: it may have more. */
  async verify(): Promise<void> {
    while (this.#fed === this.#byteLength && !this.#hasEnded) await this.#pull();
    this.assertUsable();
  }

  dispose(): void {
    this.#failure ??= new BitsStateError(
      'The source stream belongs to an upload that has ended: start a new job with a new stream.',
    );
    this.#blocks.length = 0;
    this.#feed.stop();
  }

  /**
   * The session reads from its offset on: the server says that it has what is before it, which may be
   * more than the stream has given.
   */
  #forget(before: number): void {
    const past = Math.min(before, this.#fed) - this.#base;
    const blocks = Math.max(0, Math.floor(past / BLOCK_BYTES));
    this.#blocks.splice(0, blocks);
    this.#base += blocks * BLOCK_BYTES;
  }

  /** Undefined when the stream has not come so far. */
  #pieceAt(position: number, end: number): Uint8Array | undefined {
    if (position >= this.#fed) return undefined;
    const index = Math.floor((position - this.#base) / BLOCK_BYTES);
    const blockStart = this.#base + index * BLOCK_BYTES;
    const to = Math.min(end, this.#fed) - blockStart;
    return this.#blocks[index]?.subarray(position - blockStart, Math.min(to, BLOCK_BYTES));
  }

  /** A copy: whoever gives the chunks may use their memory again. */
  #append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.byteLength; ) {
      const filled = (this.#fed - this.#base) % BLOCK_BYTES;
      if (filled === 0) {
        const left = this.#byteLength - this.#fed;
        this.#blocks.push(new Uint8Array(Math.min(BLOCK_BYTES, left)));
      }
      const part = bytes.subarray(from, from + BLOCK_BYTES - filled);
      this.#blocks.at(-1)?.set(part, filled);
      this.#fed += part.byteLength;
      from += part.byteLength;
    }
  }

  #pull(): Promise<void> {
    this.#pulling ??= this.#take().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #take(): Promise<void> {
    let bytes: Uint8Array | undefined;
    try {
      bytes = await nextBytes(this.#feed);
    } catch (error) {
      const { message, cause } = error as Error;
      throw this.#fail(new LostSourceError(message, cause));
    }
    this.assertUsable();
    if (bytes === undefined) {
      this.#hasEnded = true;
      if (this.#fed < this.#byteLength) throw this.#fail(this.#wrongLength('fewer'));
      return;
    }
    if (this.#fed + bytes.byteLength > this.#byteLength)
      throw this.#fail(this.#wrongLength('more'));
    this.#append(bytes);
  }

  #wrongLength(what: 'fewer' | 'more'): LostSourceError {
    const given = what === 'fewer' ? `ended after ${this.#fed} of` : 'has more than';
    return new LostSourceError(
      `The source stream ${given} the ${this.#byteLength} bytes that were announced: check the length, ` +
        'and upload it again with a new stream.',
    );
  }

  #gone(position: number): LostSourceError {
    return new LostSourceError(
      `The server lost its session or bytes of it, and wants byte ${position} of the source stream again, ` +
        `which is kept from byte ${this.#base} on only: upload it again with a new stream, or as a file.`,
    );
  }

  /** From here on, every read fails so. */
  #fail(error: LostSourceError): LostSourceError {
    this.#failure = error;
    this.#blocks.length = 0;
    this.#feed.stop();
    return error;
  }
}
