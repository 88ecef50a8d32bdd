/** Where a whole reply was stored. */
export interface StoredReply {
  readonly bytes: number;
  /** Absolute path, for a reply to a file. */
  readonly file?: string;
  /** For a reply to memory. */
  readonly data?: Uint8Array;
  /** 64 lower-case hexadecimal digits, when asked for. */
  readonly sha256?: string;
}

/**
 * Takes the bytes of one reply in order; every failure of it is a `BitsError`.
 *
 * One call at a time, but for the two numbers.
 */
export interface ReplySink {
  /** Bytes that it holds, from the reply's first on. */
  readonly keptBytes: number;
  /** Of these, the ones that another process finds even after the machine went down. */
  readonly durableBytes: number;
  /**
   * Prepares for bytes behind the first `keepBytes` at most of what it holds, or of what an earlier
   * process left.
   * @returns the reply, when an earlier process had stored it whole.
   */
  open(keepBytes: number): Promise<StoredReply | undefined>;
  /** Drops all bytes: the next one is the reply's first. */
  restart(): Promise<void>;
  /** Resolves when the next piece can come. */
  write(piece: Uint8Array, signal: AbortSignal | undefined): Promise<void>;
  /** Stores the whole reply where the caller wants it; durable when it resolves. */
  finish(signal: AbortSignal | undefined): Promise<StoredReply>;
  /** Makes what it holds durable and frees handles, until the next `open`. Never rejects. */
  release(): Promise<void>;
  /** Frees everything, and removes a part of the reply unless it is to be kept. Never rejects. */
  close(fate: { readonly keepPartial: boolean }): Promise<void>;
}
