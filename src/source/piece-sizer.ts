/** Small enough that progress and stalls show on a slow link. */
export const MIN_PIECE_BYTES = 64 * 1024;

/** Large enough that the cost of handing over a piece does not matter on a fast link. */
export const MAX_PIECE_BYTES = 2 * 1024 * 1024;

/** A piece taken faster than this may be followed by one twice as long. */
const FAST_MS = 20;

/** More than twice {@link FAST_MS}, or a piece that was doubled would be halved again at once. */
const SLOW_MS = 50;

/** After this, halving step by step would show no progress for too long. */
const STALLED_MS = 1000;

export interface PieceSizerOptions {
  /** @default 65536 */
  minBytes?: number;
  /** @default 2097152 */
  maxBytes?: number;
  /** Milliseconds from any fixed point. @default performance.now */
  now?: () => number;
}

/**
 * Chooses how many bytes to hand over at once, by how long the last piece took to be taken.
 *
 * Only the consumer's time counts, never the time that the source needed to read.
 */
export class PieceSizer {
  readonly #minBytes: number;
  readonly #maxBytes: number;
  readonly #now: () => number;
  #pieceBytes: number;
  #handed: { readonly bytes: number; readonly atMs: number } | undefined;

  constructor(options: PieceSizerOptions = {}) {
    this.#minBytes = options.minBytes ?? MIN_PIECE_BYTES;
    this.#maxBytes = options.maxBytes ?? MAX_PIECE_BYTES;
    this.#now = options.now ?? (() => performance.now());
    this.#pieceBytes = this.#minBytes;
  }

  /** Longest piece to hand over now. */
  get pieceBytes(): number {
    return this.#pieceBytes;
  }

  /** The consumer gets a piece. */
  handed(bytes: number): void {
    this.#handed = { bytes, atMs: this.#now() };
  }

  /** The consumer asks for the next piece. Without this call the piece is not judged. */
  taken(): void {
    const piece = this.#handed;
    if (piece === undefined) return;
    this.#handed = undefined;
    const tookMs = this.#now() - piece.atMs;
    if (tookMs > STALLED_MS) this.#pieceBytes = this.#minBytes;
    else if (tookMs > SLOW_MS) this.#pieceBytes = Math.max(this.#minBytes, this.#pieceBytes / 2);
    // A short last piece is quick on any link and proves nothing.
    else if (tookMs < FAST_MS && piece.bytes >= this.#pieceBytes)
      this.#pieceBytes = Math.min(this.#maxBytes, this.#pieceBytes * 2);
  }
}
