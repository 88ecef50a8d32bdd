import { BitsArgumentError, BitsStateError } from '../errors.js';
import type { OpenSource, SourceIdentity } from './source.js';

/**
 * How much is read at once; two blocks are all the memory that an open source takes.
 *
 * Each read costs a trip to another thread and back, 0.1 ms, so smaller blocks are slower.
 */
export const BLOCK_BYTES = 4 * 1024 * 1024;

/** What a kind of source must provide. */
export interface BlockSourceParts {
  readonly byteLength: number;
  readonly identity?: SourceIdentity;
  /**
   * Gives exactly the bytes from `start` to `end` (exclusive), at most {@link BLOCK_BYTES}; one call
   * at a time.
   *
   * The result may live in a buffer of its slot: it is no longer used when the slot is loaded again.
   */
  load(start: number, end: number, slot: Slot): Promise<Uint8Array>;
  /** Fails when the content is no longer what was opened. */
  verify(): Promise<void>;
  /** Called once, when no load is pending. */
  release(): Promise<void>;
}

export type Slot = 0 | 1;

interface Block {
  readonly start: number;
  readonly end: number;
  readonly slot: Slot;
  readonly bytes: Promise<Uint8Array>;
}

/**
 * Reads ranges through two blocks: one is handed out while the next is read.
 *
 * The blocks outlive a read, so the next fragment finds its first bytes in memory. A new read takes
 * the place of an unfinished one, which then throws: a transport may give up a request before its
 * iteration ends, and the next attempt must not fail for that.
 */
export class BlockSource implements OpenSource {
  readonly byteLength: number;
  readonly identity?: SourceIdentity;
  readonly #parts: BlockSourceParts;
  #current: Block | undefined;
  #ahead: Block | undefined;
  /** Loads wait for each other: an abandoned one may still be filling its slot. Never rejects. */
  #loads: Promise<unknown> = Promise.resolve();
  #latestRead = 0;
  #closed: Promise<void> | undefined;

  constructor(parts: BlockSourceParts) {
    this.#parts = parts;
    this.byteLength = parts.byteLength;
    if (parts.identity !== undefined) this.identity = parts.identity;
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#assertRange(start, end);
    const thisRead = ++this.#latestRead;
    if (start === end) await this.verify();
    let position = start;
    while (position < end) {
      this.#assertLatest(thisRead);
      const block = this.#blockAt(position);
      const bytes = await this.#bytesOf(block);
      const pieceEnd = Math.min(end, block.end);
      // Once a fragment: what is unchanged now was unchanged when it was loaded, and without its
      // last piece no server takes the fragment.
      if (pieceEnd === end) await this.verify();
      this.#assertLatest(thisRead);
      yield bytes.subarray(position - block.start, pieceEnd - block.start);
      // Memory that the caller has transferred or resized since it was loaded is empty.
      if (bytes.byteLength === 0) await this.verify();
      position = pieceEnd;
    }
  }

  async verify(): Promise<void> {
    this.#assertOpen();
    await this.#parts.verify();
  }

  close(): Promise<void> {
    this.#closed ??= this.#release();
    return this.#closed;
  }

  async #release(): Promise<void> {
    await this.#loads;
    this.#current = undefined;
    this.#ahead = undefined;
    await this.#parts.release();
  }

  #blockAt(position: number): Block {
    if (!covers(this.#current, position)) {
      this.#current = covers(this.#ahead, position) ? this.#ahead : this.#load(position, 0);
      this.#ahead = undefined;
    }
    return this.#current;
  }

  /** Waits for a block, and then has the one after it read ahead. */
  async #bytesOf(block: Block): Promise<Uint8Array> {
    try {
      const bytes = await block.bytes;
      const isCurrent = this.#current === block && this.#closed === undefined;
      if (isCurrent && block.end < this.byteLength)
        this.#ahead ??= this.#load(block.end, block.slot === 0 ? 1 : 0);
      return bytes;
    } catch (error) {
      if (this.#current === block) this.#current = undefined;
      throw error;
    }
  }

  #load(start: number, slot: Slot): Block {
    const end = Math.min(start + BLOCK_BYTES, this.byteLength);
    const bytes = this.#loads.then(() => this.#parts.load(start, end, slot));
    // A failure belongs to the read that needs these bytes, if there ever is one.
    this.#loads = bytes.catch(() => {});
    return { start, end, slot, bytes };
  }

  #assertRange(start: number, end: number): void {
    this.#assertOpen();
    const valid =
      Number.isSafeInteger(start) &&
      Number.isSafeInteger(end) &&
      start >= 0 &&
      start <= end &&
      end <= this.byteLength;
    if (valid) return;
    throw new BitsArgumentError(
      `Bytes ${start} to ${end} are not a range of a source of ${this.byteLength} bytes.`,
    );
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new BitsStateError('The source is closed.');
  }

  #assertLatest(read: number): void {
    this.#assertOpen();
    if (read === this.#latestRead) return;
    throw new BitsStateError(
      'This read ended because a later one of the same source began: read one range at a time.',
    );
  }
}

function covers(block: Block | undefined, position: number): block is Block {
  return block !== undefined && position >= block.start && position < block.end;
}
