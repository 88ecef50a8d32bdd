/**
 * No limit is shorter: connections survive many a pause of the network. With a retry, bytes move again
 * within 10 s.
 */
const MIN_LIMIT_MS = 8_000;

/** A wait that is so many times longer than the longest before is a stall. */
const PATIENCE = 4;

/** Of a slow line with long queues in its routers. */
const MAX_ROUND_TRIP_MS = 15_000;

/** For the answer to a request without a body, of which nothing is known yet. */
const SMALL_ANSWER_MS = 60_000;

/** A system takes more bytes only when it has sent so many; rather too large than too small. */
const TAKEN_AT_ONCE_BYTES = 1024 * 1024;

/** What a system may still have to send when it has taken the last byte. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
const MAX_UNSENT_MS = 10 * 60_000;

/** Of a smaller body, the time tells of the round trip and the server, and hardly of the speed. */
const MIN_MEASURED_BYTES = 64 * 1024;

const FIRST_SLICE_BYTES = 64 * 1024;
const MIN_SLICE_BYTES = 16 * 1024;
/** On a fast line, where slices of any size are taken at once, fewer of them cost less. */
const MAX_SLICE_BYTES = 2 * 1024 * 1024;
const FAST_SLICE_MS = 20;
const SLOW_SLICE_MS = 200;

/** So many breaks of used connections are too many; an answer over one makes up for a part. */
const MAX_BREAKS = 2;
const BREAKS_PER_ANSWER = 0.25;

/** A request whose answer is waited for. */
export interface SentRequest {
  /** Requests of one kind are answered in about the same time. */
  readonly kind: string | undefined;
  readonly bodyBytes: number;
  /** How long the system took for the body. */
  readonly sendMs: number;
}

/**
 * What is known about the line to one destination.
 *
 * Limits in time follow what the line did before, so that a dead connection is noticed soon on a fast
 * line, and a slow line is not taken for a dead one. On most systems, only when the system has *taken*
 * bytes can be seen, which is long before they arrive: up to some MiB are on their way then.
 */
export class Line {
  #longestTakeMs = 0;
  /** By kind of request. */
  readonly #longestAnswersMs = new Map<string, number>();
  /** From the first byte of a body to its answer; undefined: not known, or not any more. */
  #bytesPerMs: number | undefined;
  #sliceBytes = FIRST_SLICE_BYTES;
  #timeouts = 0;
  #breaks = 0;

  /** In pieces of this size a body is to be written, so that progress shows. */
  get sliceBytes(): number {
    return this.#sliceBytes;
  }

  /** Whether it makes sense to use a connection again. */
  get isReusable(): boolean {
    return this.#breaks < MAX_BREAKS;
  }

  /** How long no byte of a body may move. */
  stallLimitMs(stallTimeoutMs: number): number {
    if (this.#bytesPerMs === undefined) return stallTimeoutMs;
    const takeMs = Math.max(this.#longestTakeMs, TAKEN_AT_ONCE_BYTES / this.#bytesPerMs / PATIENCE);
    return Math.min(stallTimeoutMs, Math.max(MIN_LIMIT_MS, PATIENCE * takeMs));
  }

  /**
   * As {@link stallLimitMs}, where it is seen how bytes leave the system. A lost packet holds all of them
   * up for a round trip, which is shorter than the time for those that are left.
   */
  seenStallLimitMs(stallTimeoutMs: number, leftMs: number): number {
    const roundTripMs = Math.min(leftMs, MAX_ROUND_TRIP_MS);
    return Math.min(stallTimeoutMs, Math.max(MIN_LIMIT_MS * 2 ** this.#timeouts, roundTripMs));
  }

  /** How long the answer may take from when the system has taken the last byte. */
  answerLimitMs(answerTimeoutMs: number, request: SentRequest): number {
    const unsentMs = this.#unsentMs(request);
    return Math.min(answerTimeoutMs + unsentMs, Math.max(this.#usualAnswerMs(request), unsentMs));
  }

  tookSlice(bytes: number, ms: number): void {
    this.#longestTakeMs = Math.max(this.#longestTakeMs, ms);
    const isWhole = bytes === this.#sliceBytes;
    if (ms < FAST_SLICE_MS && isWhole) {
      this.#sliceBytes = Math.min(this.#sliceBytes * 2, MAX_SLICE_BYTES);
    } else if (ms > SLOW_SLICE_MS) {
      this.#sliceBytes = Math.max(this.#sliceBytes / 2, MIN_SLICE_BYTES);
    }
  }

  answered({ kind, bodyBytes, sendMs }: SentRequest, waitMs: number, wasUsed: boolean): void {
    this.#timeouts = 0;
    if (wasUsed && this.isReusable) this.#breaks = Math.max(this.#breaks - BREAKS_PER_ANSWER, 0);
    if (kind !== undefined) {
      const before = this.#longestAnswersMs.get(kind) ?? 0;
      this.#longestAnswersMs.set(kind, Math.max(before, waitMs));
    }
    // Without a kind, the server may have taken its time.
    if (kind !== undefined && bodyBytes >= MIN_MEASURED_BYTES) {
      this.#bytesPerMs = bodyBytes / Math.max(sendMs + waitMs, 1);
    }
  }

  /** What was known does not hold any more. */
  timedOut(): void {
    this.#timeouts++;
    this.#longestTakeMs = 0;
    this.#longestAnswersMs.clear();
    this.#bytesPerMs = undefined;
    this.#sliceBytes = MIN_SLICE_BYTES;
  }

  /** A used connection broke before any byte of the answer to the request. */
  broke(): void {
    this.#breaks++;
  }

  #usualAnswerMs({ kind, bodyBytes }: SentRequest): number {
    const longestMs = kind === undefined ? undefined : this.#longestAnswersMs.get(kind);
    if (longestMs !== undefined) return Math.max(MIN_LIMIT_MS, PATIENCE * longestMs);
    return bodyBytes > 0 ? Number.POSITIVE_INFINITY : SMALL_ANSWER_MS * 2 ** this.#timeouts;
  }

  #unsentMs({ bodyBytes, sendMs }: SentRequest): number {
    if (bodyBytes === 0) return 0;
    const bytesPerMs = Math.min(
      this.#bytesPerMs ?? Number.POSITIVE_INFINITY,
      bodyBytes / Math.max(sendMs, 1),
    );
    const unsentBytes = Math.min(bodyBytes, MAX_UNSENT_BYTES);
    const seconds = Math.floor((2 * unsentBytes) / bytesPerMs / 1000);
    return Math.min(seconds * 1000, MAX_UNSENT_MS);
  }
}
