/** The bytes of a request, as its exchange sees them. */
export interface RequestBody {
  /** Whether the last byte has left this process. */
  readonly allSent: boolean;
  /** The server says that it has the body; of the last bytes the socket may not have said so yet. */
  received(): void;
  /** Asks the source for nothing more, while the answer that came early is still being read. */
  stop(): void;
  /** The request has ended, one way or another: lets the dispatcher and the source go. */
  release(): void;
}
