import type { WireBody } from './transport.js';

type Pieces = WireBody['pieces'];
type Whole = () => Uint8Array | Promise<Uint8Array> | undefined;

/**
 * A body of this package, which may give its bytes in one piece, as often as `pieces` does.
 *
 * That is no method that others see: a transport that wraps `pieces` wants its own to be used.
 */
export class QuickBody implements WireBody {
  readonly byteLength: number;
  readonly pieces: Pieces;
  readonly #pieces: Pieces;
  readonly #whole: Whole;

  /** @param whole gives undefined when `pieces` has to be asked. */
  constructor(byteLength: number, pieces: Pieces, whole: Whole) {
    this.byteLength = byteLength;
    this.pieces = pieces;
    this.#pieces = pieces;
    this.#whole = whole;
  }

  /** All bytes in one piece; undefined: `pieces` has to be asked. */
  static whole(body: WireBody): ReturnType<Whole> {
    return #pieces in body && body.pieces === body.#pieces ? body.#whole() : undefined;
  }
}
