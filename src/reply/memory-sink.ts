import { createHash } from 'node:crypto';
import { BitsError } from '../errors.js';
import { assertFits, type ReplySink, type StoredReply } from './sink.js';

const FIRST_BUFFER_BYTES = 16 * 1024;

/** Keeps a reply in memory, up to a limit; the memory grows with what arrives, not with promises. */
export class MemorySink implements ReplySink {
  keptBytes = 0;
  readonly durableBytes = 0;
  readonly #maxBytes: number;
  readonly #sha256: boolean;
  #buffer = new Uint8Array(0);

  constructor(maxBytes: number, sha256: boolean) {
    this.#maxBytes = maxBytes;
    this.#sha256 = sha256;
  }

  async open(keepBytes: number): Promise<undefined> {
    this.keptBytes = Math.min(this.keptBytes, keepBytes);
  }

  expect(totalBytes: number): void {
    assertFits(
      totalBytes,
      this.#maxBytes,
      'have it stored with reply: { to: path }, or raise reply.maxBytes',
    );
  }

  async restart(): Promise<void> {
    this.keptBytes = 0;
  }

  async write(piece: Uint8Array): Promise<void> {
    const wantedBytes = this.keptBytes + piece.byteLength;
    this.expect(wantedBytes);
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
    const bytes = Math.min(Math.max(doubled, wantedBytes), this.#maxBytes);
    try {
      const grown = new Uint8Array(bytes);
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
