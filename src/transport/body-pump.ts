import type { AwakeTime } from '../common/awake-time.js';
import { nextTurn } from '../common/clock.js';
import { Deferred } from '../common/deferred.js';
import { BitsError } from '../errors.js';
import type { Deadline } from './deadline.js';
import type { Line } from './line.js';
import type { WireBody } from './transport.js';

/**
 * The bytes of one request, as undici pulls them.
 *
 * The source may reuse the memory of a piece as soon as it is asked for the next one. Neither undici
 * nor Node waits until the operating system has taken a piece: below a socket's high-water mark both
 * continue at once. So the source is asked only after {@link taken} was told of the whole piece.
 */
export class BodyPump implements AsyncIterable<Uint8Array> {
  readonly #body: WireBody;
  readonly #deadline: Deadline;
  readonly #line: Line;
  readonly #time: AwakeTime;
  readonly #onBytesSent: ((bytes: number) => void) | undefined;
  readonly #sourceEnd = new Deferred<void>();
  #released: Deferred<void> | undefined;
  #source: AsyncIterator<Uint8Array> | undefined;
  #piece: Uint8Array = new Uint8Array(0);
  #handedBytes = 0;
  #takenBytes = 0;
  /** When bytes were last taken, or handed over while there were none. */
  #movedAtMs = 0;
  #sendMs = 0;
  #allTaken: Deferred<void> | undefined;
  #isReading = false;
  #isStopped = false;
  #isReleased = false;

  constructor(
    body: WireBody,
    deadline: Deadline,
    line: Line,
    time: AwakeTime,
    onBytesSent: ((bytes: number) => void) | undefined,
  ) {
    this.#body = body;
    this.#deadline = deadline;
    this.#line = line;
    this.#time = time;
    this.#onBytesSent = onBytesSent;
  }

  /** Resolves when the source has ended as announced; rejects when it fails or gives other bytes. */
  get sourceEnd(): Promise<void> {
    return this.#sourceEnd.promise;
  }

  get isAllTaken(): boolean {
    return this.#takenBytes === this.#body.byteLength;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** How long the operating system took for what it has. */
  get sendMs(): number {
    return this.#sendMs;
  }

  /** Reads the first piece, so that no connection waits for the source. */
  async begin(): Promise<void> {
    this.#source = this.#body.pieces()[Symbol.asyncIterator]();
    // Whoever was asked for the pieces may have given the request up.
    if (this.#isReleased) this.#closeSource();
    else this.#piece = await this.#read();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined> {
    try {
      while (!this.#isStopped && this.#handedBytes < this.#body.byteLength) {
        if (this.#piece.byteLength > 0) {
          yield this.#slice();
          continue;
        }
        await this.#untilTaken();
        if (!this.#isStopped) this.#piece = await this.#read();
      }
    } catch (error) {
      this.#sourceEnd.reject(error);
    }
    // undici would fail the request if the body ended early, while its answer is still read.
    if (this.#handedBytes < this.#body.byteLength) await this.#untilReleased();
    // Not awaited: as long as the body is not over for undici, an answer costs the connection.
    else void this.#finish();
  }

  /** The operating system has a copy of so many bytes more. */
  taken(bytes: number): void {
    if (this.#isReleased || this.isAllTaken) return;
    this.#takenBytes += bytes;
    const nowMs = this.#time.elapsedMs;
    const takeMs = nowMs - this.#movedAtMs;
    this.#movedAtMs = nowMs;
    this.#sendMs += takeMs;
    this.#line.tookSlice(bytes, takeMs);
    if (!this.#isStopped) this.#deadline.run(this.isAllTaken ? 'answer' : 'send');
    if (this.#takenBytes === this.#handedBytes) this.#allTaken?.resolve();
    this.#onBytesSent?.(bytes);
  }

  /** The server says that it has the body, before Node has told of the last bytes. */
  received(): void {
    if (this.#handedBytes === this.#body.byteLength) {
      this.taken(this.#body.byteLength - this.#takenBytes);
    }
  }

  /** Asks the source for nothing more, while an early answer is still being read. */
  stop(): void {
    this.#isStopped = true;
    this.#sourceEnd.resolve();
  }

  /** The request is over, one way or another. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.stop();
    this.#released?.resolve();
    this.#allTaken?.resolve();
    if (!this.#isReading) this.#closeSource();
  }

  #slice(): Uint8Array {
    const slice = this.#piece.subarray(0, this.#line.sliceBytes);
    this.#piece = this.#piece.subarray(slice.byteLength);
    if (this.#takenBytes === this.#handedBytes) this.#movedAtMs = this.#time.elapsedMs;
    this.#handedBytes += slice.byteLength;
    this.#deadline.run('send');
    return slice;
  }

  async #finish(): Promise<void> {
    try {
      await this.#untilTaken();
      while (!this.#isReleased) {
        const piece = await this.#readSource();
        if (piece === undefined) break;
        if (piece.byteLength > 0)
          throw wrongLength(this.#handedBytes + piece.byteLength, this.#body.byteLength);
      }
      this.#sourceEnd.resolve();
    } catch (error) {
      this.#sourceEnd.reject(error);
    }
  }

  async #read(): Promise<Uint8Array> {
    const piece = await this.#readSource();
    const { byteLength } = this.#body;
    const givenBytes = this.#handedBytes + (piece?.byteLength ?? 0);
    if (piece === undefined || givenBytes > byteLength) throw wrongLength(givenBytes, byteLength);
    return piece;
  }

  /** @returns undefined at the end of the source */
  async #readSource(): Promise<Uint8Array | undefined> {
    if (this.#source === undefined) return undefined;
    this.#isReading = true;
    // Until the source has answered, it is not the network that takes time.
    if (!this.isAllTaken) this.#deadline.pause();
    try {
      const { done, value } = await this.#source.next();
      if (done) {
        this.#source = undefined;
        return undefined;
      }
      // A source that gives nothing again and again must leave timers and signals their turn.
      if (value.byteLength === 0) await nextTurn();
      return value;
    } catch (error) {
      this.#source = undefined;
      throw error;
    } finally {
      this.#isReading = false;
      if (this.#isReleased) this.#closeSource();
    }
  }

  #closeSource(): void {
    const source = this.#source;
    this.#source = undefined;
    // What a source does wrong while it is closed changes nothing for the request.
    void (async () => source?.return?.())().catch(() => {});
  }

  async #untilReleased(): Promise<void> {
    if (this.#isReleased) return;
    this.#released = new Deferred();
    await this.#released.promise;
  }

  async #untilTaken(): Promise<void> {
    if (this.#isReleased || this.#takenBytes === this.#handedBytes) return;
    this.#allTaken = new Deferred();
    await this.#allTaken.promise;
  }
}

/** For a source that has given too many bytes, or has ended after too few. */
export function wrongLength(givenBytes: number, announcedBytes: number): BitsError {
  const what =
    givenBytes > announcedBytes
      ? `gave more than the ${announcedBytes} bytes`
      : `ended after ${givenBytes} of the ${announcedBytes} bytes`;
  return new BitsError('BITS_ERR_SOURCE', `The source ${what} that it announced`);
}
