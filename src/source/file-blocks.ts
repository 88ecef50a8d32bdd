import { Buffer } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';
import { BLOCK_BYTES, type Slot } from './block-source.js';

/**
 * Where in its memory a buffer begins. Fresh memory starts at or just after a page, as file content
 * does, and AMD processors copy between two such places at a third of their speed.
 */
const OFF_PAGE_BYTES = 128;

/** Reads blocks of an open file into one reused buffer a slot: new buffers cost a third of the speed. */
export class FileBlocks {
  readonly #handle: FileHandle;
  readonly #bufferBytes: number;
  #buffers: [Buffer?, Buffer?] = [];

  constructor(handle: FileHandle, byteLength: number) {
    this.#handle = handle;
    this.#bufferBytes = Math.min(BLOCK_BYTES, byteLength);
  }

  /** Gives fewer bytes than asked for only where the file ends. */
  async load(start: number, end: number, slot: Slot): Promise<Uint8Array> {
    const buffer = this.#bufferOf(slot);
    const wanted = end - start;
    let filled = 0;
    while (filled < wanted) {
      const position = start + filled;
      const { bytesRead } = await this.#handle.read(buffer, filled, wanted - filled, position);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  #bufferOf(slot: Slot): Buffer {
    this.#buffers[slot] ??= Buffer.allocUnsafeSlow(OFF_PAGE_BYTES + this.#bufferBytes).subarray(
      OFF_PAGE_BYTES,
    );
    return this.#buffers[slot];
  }

  /** Frees the buffers; the file stays open. */
  free(): void {
    this.#buffers = [];
  }
}
