import { createHash } from 'node:crypto';
import { BitsError } from '../errors.js';
import type { ReplySink, StoredReply } from './sink.js';

const FIRST_BUFFER_BYTES = 16 * 1024;

/** Keeps a reply in memory, which grows with what arrives, not with promises. */
export class MemorySink implements ReplySink {
  keptBytes = 0;
  readonly durableBytes = 0;
  readonly #sha256: boolean;
  #buffer = new Uint8Array(0);

  constructor(sha256: boolean) {
    this.#sha256 = sha256;
  }

  async open(keepBytes: number): Promise<undefined> {
    this.keptBytes = Math.min(this.keptBytes, keepBytes);
  }

  async restart(): Promise<void> {
    this.keptBytes = 0;
  }

  async write(piece: Uint8Array): Promise<void> {
    const wantedBytes = this.keptBytes + piece.byteLength;
    if (wantedBytes > this.#buffer.byteLength) this.#grow(wantedBytes);
    this.#buffer.set(piece, this.keptBytes);
    this.keptBytes = wantedBytes;
  }

  async finish(): Promise<StoredReply> {
    const data = this.#buffer.slice(0, this.keptBytes);
    const stored = { bytes: data.byteLength, data };
    if (!this.#sha256) return stored;
    return { ...stored, sha256: createHash('sha256').update(data).digest('hex') };
  }

  async release(): Promise<void> {}

  async close(): Promise<void> {
    this.keptBytes = 0;
    this.#buffer = new Uint8Array(0);
  }

  #grow(wantedBytes: number): void {
    const doubled = Math.max(2 * this.#buffer.byteLength, FIRST_BUFFER_BYTES);
    try {
      const grown = new Uint8Array(Math.max(doubled, wantedBytes));
      grown.set(this.#buffer.subarray(0, this.keptBytes));
      this.#buffer = grown;
    } catch (cause) {
      throw new BitsError(
        'BITS_ERR_REPLY',
        'There is not enough memory for the reply: have it stored with reply: { to: path }. The ' +
          'session is left open.',
        { cause },
      );
    }
  }
}
