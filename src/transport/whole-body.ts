import { BitsError } from '../errors.js';
import type { RequestBody } from './request-body.js';
import { watchChunk } from './wire-shim.js';

/** Up to here a body goes out in one write with the head, where an iteration would cost more. */
export const MAX_WHOLE_BYTES = 256 * 1024;

/** A body that is handed over in one piece. */
export class WholeBody implements RequestBody {
  readonly bytes: Uint8Array;
  readonly #onSent: (bytes: number) => void;
  #isSent = false;
  #isReleased = false;

  /**
   * @param onSent called when the bytes have left this process
   * @throws BITS_ERR_SOURCE when they are not as many as were announced
   */
  constructor(bytes: Uint8Array, announcedBytes: number, onSent: (bytes: number) => void) {
    if (bytes.byteLength !== announcedBytes) {
      throw new BitsError(
        'BITS_ERR_SOURCE',
        `The source gave ${bytes.byteLength} of the ${announcedBytes} bytes that it announced`,
      );
    }
    // A view of our own: the dispatcher would copy the bytes of another realm, and the copy would not
    // be watched.
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#onSent = onSent;
    watchChunk(this.bytes, () => this.#sent());
  }

  get allSent(): boolean {
    return this.#isSent;
  }

  received(): void {
    this.#sent();
  }

  stop(): void {}

  release(): void {
    this.#isReleased = true;
  }

  #sent(): void {
    if (this.#isReleased || this.#isSent) return;
    this.#isSent = true;
    this.#onSent(this.bytes.byteLength);
  }
}
