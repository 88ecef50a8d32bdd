import { Buffer } from 'node:buffer';
import { BLOCK_BYTES, type Slot } from './block-source.js';

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
) => number | Promise<number>;

/** Reads blocks of an open file into one reused buffer a slot: allocating anew is slower. */
export class FileBlocks {
  readonly #read: ReadBytes;
  readonly #bufferBytes: number;
  #buffers: [Buffer?, Buffer?] = [];

  constructor(read: ReadBytes, byteLength: number) {
    this.#read = read;
    this.#bufferBytes = Math.min(BLOCK_BYTES, byteLength);
  }

  /** Resolves with fewer bytes than asked for only where the file ends. */
  async load(start: number, end: number, slot: Slot): Promise<Uint8Array> {
    const buffer = this.#bufferOf(slot);
    const wanted = end - start;
    let filled = 0;
    while (filled < wanted) {
      const bytesRead = await this.#read(buffer, filled, wanted - filled, start + filled);
      if (bytesRead === 0) break;
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
