import { BitsArgumentError, BitsStateError } from '../errors.js';
import { isPromise, type MaybePromise, whenThere } from './maybe-promise.js';
import { PieceSizer } from './piece-sizer.js';
import type { OpenSource, SourceIdentity } from './source.js';

/**
 * How much is read at once; two blocks are all the memory that an open source takes.
 *
 * A read of more than a little costs a trip to another thread and back, 0.1 ms, so that smaller
 * blocks are slower.
 */
export const BLOCK_BYTES = 4 * 1024 * 1024;

/** What a kind of source must bring; calls never overlap. */
export interface BlockSourceParts {
  readonly byteLength: number;
  readonly identity?: SourceIdentity;
  /**
   * Gives exactly the bytes from `start` to `end` (exclusive), at most {@link BLOCK_BYTES}, and fails
   * when the content is no longer what was opened.
   *
   * The result may live in a buffer of its slot: it is no longer used when the slot comes again.
   */
  load(start: number, end: number, slot: Slot): MaybePromise<Uint8Array>;
  /** Called before each read too, but for one that has to load all. */
  verify(): MaybePromise<void>;
  /** Called once, when nothing else is under way. */
  release(): MaybePromise<void>;
}

export type Slot = 0 | 1;

interface Block {
  readonly start: number;
  readonly end: number;
  readonly slot: Slot;
  readonly loaded: MaybePromise<Uint8Array>;
  /** Empty until it is loaded. */
  bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/**
 * Reads ranges through two blocks: one is handed out while the next is read.
 *
 * The blocks outlive a read, so that the next fragment finds its beginning read already. A new read
 * takes the place of one that is not finished: a transport may give up a request before its
 * iteration ends, and the next attempt must not fail for that. The older iteration then throws.
 */
export class BlockSource implements OpenSource {
  readonly byteLength: number;
  readonly identity?: SourceIdentity;
  readonly #parts: BlockSourceParts;
  readonly #sizer: PieceSizer;
  #current: Block | undefined;
  #ahead: Block | undefined;
  /**
   * The last of the calls to `load` and `verify`, which wait for each other; never rejects.
   *
   * Undefined when none is under way.
   */
  #queue: Promise<void> | undefined;
  #latestRead = 0;
  #closed: MaybePromise<void> | undefined;
  #isClosed = false;

  constructor(parts: BlockSourceParts, sizer: PieceSizer = new PieceSizer()) {
    this.#parts = parts;
    this.#sizer = sizer;
    this.byteLength = parts.byteLength;
    if (parts.identity !== undefined) this.identity = parts.identity;
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#assertRange(start, end);
    const thisRead = ++this.#latestRead;
    await this.#verify();
    let position = start;
    while (position < end) {
      this.#assertLatest(thisRead);
      const block = await this.#blockAt(position);
      this.#assertLatest(thisRead);
      const pieceEnd = Math.min(end, block.end, position + this.#sizer.pieceBytes);
      this.#sizer.handed(pieceEnd - position);
      yield block.bytes.subarray(position - block.start, pieceEnd - block.start);
      this.#sizer.taken();
      position = pieceEnd;
    }
  }

  /**
   * Reads bytes `start` (inclusive) to `end` (exclusive) of a source in one piece, which is valid until
   * something else is read, or the source is closed.
   *
   * No method that others see: who puts a `read` of his own in place of ours wants that to be used.
   * @returns undefined when `read` has to be asked
   * @throws as `read`, at once or with the promise
   */
  static readWhole(
    source: OpenSource,
    start: number,
    end: number,
  ): MaybePromise<Uint8Array> | undefined {
    const isOurs = #parts in source && source.read === BlockSource.prototype.read;
    return isOurs ? source.#readWhole(start, end) : undefined;
  }

  #readWhole(start: number, end: number): MaybePromise<Uint8Array> | undefined {
    this.#assertRange(start, end);
    const thisRead = ++this.#latestRead;
    const isThere = this.#select(start);
    this.#current ??= this.#load(start, 0);
    const block = this.#current;
    if (block.end < end) return undefined;
    const checked = isThere ? this.#verify() : undefined;
    return whenThere(checked, () =>
      whenThere(this.#bytesOf(block), (bytes) => {
        this.#assertLatest(thisRead);
        return bytes.subarray(start - block.start, end - block.start);
      }),
    );
  }

  async verify(): Promise<void> {
    await this.#verify();
  }

  /** As `verify` of the source, at once where that can be done. */
  static verify(source: OpenSource): MaybePromise<void> {
    const isOurs = #parts in source && source.verify === BlockSource.prototype.verify;
    return isOurs ? source.#verify() : source.verify();
  }

  #verify(): MaybePromise<void> {
    this.#assertOpen();
    return this.#enqueue(() => this.#parts.verify());
  }

  async close(): Promise<void> {
    await this.#close();
  }

  /** As `close` of the source, at once where that can be done. */
  static close(source: OpenSource): MaybePromise<void> {
    const isOurs = #parts in source && source.close === BlockSource.prototype.close;
    return isOurs ? source.#close() : source.close();
  }

  #close(): MaybePromise<void> {
    if (this.#isClosed) return this.#closed;
    this.#isClosed = true;
    this.#closed = this.#enqueue(() => {
      this.#current = undefined;
      this.#ahead = undefined;
      return this.#parts.release();
    });
    return this.#closed;
  }

  async #blockAt(position: number): Promise<Block> {
    this.#select(position);
    this.#current ??= this.#load(position, 0);
    const block = this.#current;
    await this.#bytesOf(block);
    return block;
  }

  /** Makes the block that holds a position the current one; false when there is none. */
  #select(position: number): boolean {
    if (!covers(this.#current, position)) {
      this.#current = covers(this.#ahead, position) ? this.#ahead : undefined;
      this.#ahead = undefined;
    }
    return this.#current !== undefined;
  }

  /** What was loaded, while the block that follows is being read. */
  #bytesOf(block: Block): MaybePromise<Uint8Array> {
    const { loaded } = block;
    if (!isPromise(loaded)) return this.#use(block, loaded);
    return loaded.then(
      (bytes) => this.#use(block, bytes),
      (error) => {
        if (this.#current === block) this.#current = undefined;
        throw error;
      },
    );
  }

  #use(block: Block, bytes: Uint8Array): Uint8Array {
    block.bytes = bytes;
    if (this.#current === block && block.end < this.byteLength && !this.#isClosed)
      this.#ahead ??= this.#load(block.end, block.slot === 0 ? 1 : 0);
    return bytes;
  }

  #load(start: number, slot: Slot): Block {
    const end = Math.min(start + BLOCK_BYTES, this.byteLength);
    return { start, end, slot, loaded: this.#loading(start, end, slot), bytes: NO_BYTES };
  }

  #loading(start: number, end: number, slot: Slot): MaybePromise<Uint8Array> {
    try {
      return this.#enqueue(() => this.#parts.load(start, end, slot));
    } catch (error) {
      // It belongs to whoever asks for the block, and not to who has it read ahead.
      const failed = Promise.reject(error);
      failed.catch(() => {});
      return failed;
    }
  }

  #enqueue<T>(task: () => MaybePromise<T>): MaybePromise<T> {
    const done = this.#queue === undefined ? task() : this.#queue.then(task);
    if (!isPromise(done)) return done;
    // A failure belongs to whoever awaits `done`, and perhaps nobody wants that block any more.
    const settled = () => {
      if (this.#queue === queue) this.#queue = undefined;
    };
    const queue = done.then(settled, settled);
    this.#queue = queue;
    return done;
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
    if (this.#isClosed) throw new BitsStateError('The source is closed.');
  }

  #assertLatest(read: number): void {
    this.#assertOpen();
    if (read === this.#latestRead) return;
    throw new BitsStateError('A later read of the same source ended this one: one at a time.');
  }
}

function covers(block: Block | undefined, position: number): block is Block {
  return block !== undefined && position >= block.start && position < block.end;
}
