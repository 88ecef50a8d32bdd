import { Buffer } from 'node:buffer';
import { BLOCK_BYTES, type Slot } from './block-source.js';
import type { MaybePromise } from './maybe-promise.js';

/**
 * Where in its memory a buffer begins. Fresh memory starts at or just after a page, as file content
 * does, and AMD processors copy between two such places at a third of their speed.
 */
const OFF_PAGE_BYTES = 128;

/** Reads into a buffer at `offset` from the file's `position`; gives 0 bytes where the file ends. */
export type ReadBytes = (
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => MaybePromise<number>;

/** Reads blocks of an open file into one reused buffer a slot: allocating anew is slower. */
export class FileBlocks {
  readonly #read: ReadBytes;
  readonly #bufferBytes: number;
  #buffers: [Buffer?, Buffer?] = [];

  constructor(read: ReadBytes, byteLength: number) {
    this.#read = read;
    this.#bufferBytes = Math.min(BLOCK_BYTES, byteLength);
  }

  /** Gives fewer bytes than asked for only where the file ends. */
  load(start: number, end: number, slot: Slot): MaybePromise<Uint8Array> {
    const buffer = this.#bufferOf(slot);
    const first = this.#read(buffer, 0, end - start, start);
    if (first === end - start) return buffer.subarray(0, first);
    return this.#fill(buffer, start, end, first);
  }

  async #fill(
    buffer: Buffer,
    start: number,
    end: number,
    first: MaybePromise<number>,
  ): Promise<Uint8Array> {
    const wanted = end - start;
    let bytesRead = await first;
    let filled = bytesRead;
    while (bytesRead > 0 && filled < wanted) {
      bytesRead = await this.#read(buffer, filled, wanted - filled, start + filled);
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  #bufferOf(slot: Slot): Buffer {
    const buffer =
      this.#buffers[slot] ??
      Buffer.allocUnsafeSlow(OFF_PAGE_BYTES + this.#bufferBytes).subarray(OFF_PAGE_BYTES);
    this.#buffers[slot] = buffer;
    return buffer;
  }

  /** Frees the buffers; the file stays open. */
  free(): void {
    this.#buffers = [];
  }
}
