import { BitsError } from '../errors.js';
import type { RequestBody } from './request-body.js';
import type { WireBody } from './transport.js';
import { wasWritten, watchChunk } from './wire-shim.js';

/** Pieces are written in slices of this, so that progress shows and time-outs see bytes move. */
const MIN_SLICE_BYTES = 256 * 1024;

/** On a fast link, where slices of any size move in no time, fewer of them are cheaper. */
const MAX_SLICE_BYTES = 2 * 1024 * 1024;

/** A slice taken faster than this may be followed by one twice as long. */
const FAST_MS = 20;

export interface BodyPumpEvents {
  /** The source is asked for more: what happens now is no network's fault. */
  readonly onWaitForSource: () => void;
  /** A slice is handed to the dispatcher. */
  readonly onSlice: () => void;
  /** Bytes have left this process. */
  readonly onBytesSent: (bytes: number) => void;
  /** The last byte has left this process. */
  readonly onAllSent: () => void;
  /** The source failed, or gave more or fewer bytes than it announced. */
  readonly onSourceError: (error: unknown) => void;
  /** The source was read to its end and is good. */
  readonly onSourceEnd: () => void;
}

/**
 * The bytes of one request, as undici pulls them.
 *
 * The source may reuse a piece's memory as soon as it is asked for the next one. Neither undici nor
 * Node waits until the operating system took a piece: below a socket's high-water mark both go on
 * at once. So the source is asked only after the socket has reported the piece written; towards a
 * dispatcher without the wire shim, which reports nothing, slices are copied instead.
 */
export class BodyPump
  implements RequestBody, AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, undefined>
{
  readonly #byteLength: number;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #watches: boolean;
  readonly #events: BodyPumpEvents;
  #piece: Uint8Array = new Uint8Array(0);
  #handed = 0;
  #taken = 0;
  #copied = 0;
  #slice: Uint8Array | undefined;
  #sliceBytes = MIN_SLICE_BYTES;
  #slicedMs = 0;
  #reading = false;
  #stopped = false;
  #released = false;
  #sourceDone = false;
  /** The dispatcher has the whole body and does not come back for more. */
  #handedWhole = false;
  /** Goes on when every handed byte is taken, or when the request has ended. */
  #wake: (() => void) | undefined;
  /** Lets the parked dispatcher go. */
  #unpark: (() => void) | undefined;

  /** @param watches whether the dispatcher's sockets have the wire shim. */
  constructor(body: WireBody, watches: boolean, events: BodyPumpEvents) {
    this.#byteLength = body.byteLength;
    this.#source = body.pieces()[Symbol.asyncIterator]();
    this.#watches = watches;
    this.#events = events;
  }

  get allSent(): boolean {
    return this.#taken === this.#byteLength;
  }

  /**
   * The whole body, when the source gives it in one piece, to be dispatched in place of this pump.
   *
   * Undefined when it does not, or when there is nothing to dispatch any more.
   */
  async whole(): Promise<Uint8Array | undefined> {
    try {
      this.#piece = await this.#pull();
    } catch (error) {
      if (!this.#stopped) this.#events.onSourceError(error);
      return undefined;
    }
    if (this.#stopped || this.#piece.byteLength < this.#byteLength) return undefined;
    // The dispatcher would copy the bytes of another realm, and the copy would not be watched.
    if (!(this.#piece instanceof Uint8Array)) return undefined;
    this.#handedWhole = true;
    return this.#cut();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      return await this.#next();
    } catch (error) {
      if (!this.#stopped) this.#events.onSourceError(error);
      throw error;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.release();
    return { done: true, value: undefined };
  }

  received(): void {
    if (this.#handed === this.#byteLength) this.#take(this.#byteLength - this.#taken);
  }

  stop(): void {
    this.#stopped = true;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#stopped = true;
    this.#wake?.();
    this.#unpark?.();
    if (!this.#reading) this.#closeSource();
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#takeCopied();
    while (!this.#stopped && this.#handed < this.#byteLength) {
      if (this.#piece.byteLength > 0) return { done: false, value: this.#cut() };
      await this.#untilTaken();
      if (this.#stopped) break;
      this.#piece = await this.#pull();
    }
    if (this.#handed < this.#byteLength) await this.#park();
    // The source's own end is looked at beside the answer: undici must know at once that the
    // request is complete, or an answer that comes meanwhile would cost the connection.
    else if (!this.#stopped) void this.#finish();
    return { done: true, value: undefined };
  }

  #cut(): Uint8Array {
    const bytes = Math.min(this.#sliceBytes, this.#piece.byteLength);
    const view = this.#piece.subarray(0, bytes);
    this.#piece = this.#piece.subarray(bytes);
    this.#handed += bytes;
    this.#slicedMs = performance.now();
    this.#events.onSlice();
    if (!this.#watches) {
      this.#copied = bytes;
      // Not slice(): that of a Buffer shares its memory.
      return new Uint8Array(view);
    }
    this.#slice = view;
    watchChunk(view, () => this.#take(bytes));
    return view;
  }

  async #pull(): Promise<Uint8Array> {
    const piece = await this.#readSource();
    if (piece === undefined) {
      throw new BitsError(
        'BITS_ERR_SOURCE',
        `The source ended after ${this.#handed} of the ${this.#byteLength} bytes that it announced`,
      );
    }
    if (this.#handed + piece.byteLength > this.#byteLength) throw this.#tooMuch();
    return piece;
  }

  async #finish(): Promise<void> {
    try {
      await this.#untilTaken();
      for (;;) {
        if (this.#released) return;
        const piece = await this.#readSource();
        if (piece === undefined) break;
        if (piece.byteLength > 0) throw this.#tooMuch();
      }
      this.#events.onSourceEnd();
    } catch (error) {
      if (!this.#released) this.#events.onSourceError(error);
    }
  }

  #tooMuch(): BitsError {
    return new BitsError(
      'BITS_ERR_SOURCE',
      `The source gave more than the ${this.#byteLength} bytes that it announced`,
    );
  }

  async #readSource(): Promise<Uint8Array | undefined> {
    this.#reading = true;
    this.#events.onWaitForSource();
    try {
      const { done, value } = await this.#source.next();
      this.#sourceDone = done === true;
      if (done === true) return undefined;
      // A source that gives nothing time and again must not keep timers and signals from their turn.
      if (value.byteLength === 0) await new Promise((resolve) => setImmediate(resolve));
      return value;
    } catch (error) {
      this.#sourceDone = true;
      throw error;
    } finally {
      this.#reading = false;
      if (this.#released) this.#closeSource();
    }
  }

  #closeSource(): void {
    if (this.#sourceDone) return;
    this.#sourceDone = true;
    // What a source does wrong while it is being let go changes nothing for the request.
    void Promise.resolve(this.#source.return?.()).catch(() => {});
  }

  /** A copied slice counts as sent when the dispatcher comes back for more. */
  #takeCopied(): void {
    const bytes = this.#copied;
    this.#copied = 0;
    if (bytes > 0) this.#take(bytes);
  }

  #take(bytes: number): void {
    if (this.#released || this.allSent) return;
    this.#taken += bytes;
    const fast = performance.now() - this.#slicedMs < FAST_MS;
    this.#sliceBytes = fast ? Math.min(this.#sliceBytes * 2, MAX_SLICE_BYTES) : MIN_SLICE_BYTES;
    this.#events.onBytesSent(bytes);
    // Whoever was told may have given the request up.
    if (this.#released) return;
    if (this.allSent) {
      this.#events.onAllSent();
      if (this.#handedWhole && !this.#stopped) void this.#finish();
    }
    if (this.#taken === this.#handed) this.#wake?.();
  }

  async #untilTaken(): Promise<void> {
    if (this.#released || this.#taken === this.#handed) return;
    if (this.#slice !== undefined && !wasWritten(this.#slice)) {
      throw new Error('The dispatcher did not write what it was given: is its version supported?');
    }
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  async #park(): Promise<void> {
    if (this.#released) return;
    await new Promise<void>((resolve) => {
      this.#unpark = resolve;
    });
  }
}
