import { createHash, type Hash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { abortError, throwIfAborted, unlessAborted } from '../common/abort.js';
import { Deferred } from '../common/deferred.js';
import { BitsError } from '../errors.js';
import { isStandardStream } from './reply-option.js';
import type { ReplySink, StoredReply } from './sink.js';

/**
 * Hands a reply to a stream of the caller's, one piece at a time and each byte once.
 *
 * When the download starts over, what the stream already has is read again, compared by SHA-256
 * and left out. The stream is ended when the reply is whole, and `finish` waits until it has
 * flushed; standard output and standard error stay open. After a failure it is neither ended nor
 * destroyed, so that a later attempt can resume.
 */
export class StreamSink implements ReplySink {
  keptBytes = 0;
  readonly durableBytes = 0;
  readonly #stream: Writable;
  readonly #sha256: boolean;
  #handedBytes = 0;
  readonly #handed = createHash('sha256');
  #repeated: Hash | undefined;
  #failure: Error | undefined;
  #ended = false;

  constructor(stream: Writable, sha256: boolean) {
    this.#stream = stream;
    this.#sha256 = sha256;
    this.#listen();
  }

  async open(keepBytes: number): Promise<undefined> {
    this.#listen();
    if (keepBytes < this.keptBytes) await this.restart();
  }

  async restart(): Promise<void> {
    this.keptBytes = 0;
    this.#repeated = createHash('sha256');
  }

  async write(piece: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const known = piece.subarray(0, this.#handedBytes - this.keptBytes);
    if (known.byteLength > 0) this.#compare(known);
    const fresh = piece.subarray(known.byteLength);
    if (fresh.byteLength > 0) await this.#handOver(fresh, signal);
  }

  async finish(signal: AbortSignal | undefined): Promise<StoredReply> {
    if (this.keptBytes < this.#handedBytes) throw this.#changed();
    if (!isStandardStream(this.#stream)) await this.#end(signal);
    const stored = { bytes: this.keptBytes };
    return this.#sha256 ? { ...stored, sha256: this.#handed.copy().digest('hex') } : stored;
  }

  async release(): Promise<void> {}

  async close(): Promise<void> {
    // A stream that failed tells so when it has let go of what it writes to, which takes its time.
    if (!this.#stream.destroyed) this.#stream.off('error', this.#onError);
  }

  #compare(known: Uint8Array): void {
    this.#repeated?.update(known);
    this.keptBytes += known.byteLength;
    if (this.keptBytes < this.#handedBytes) return;
    const before = this.#handed.copy().digest();
    if (this.#repeated && !before.equals(this.#repeated.digest())) throw this.#changed();
    this.#repeated = undefined;
  }

  #changed(): BitsError {
    this.keptBytes = 0;
    this.#repeated = createHash('sha256');
    return new BitsError(
      'BITS_ERR_REPLY',
      `The reply changed after ${this.#handedBytes} bytes of it had gone to the stream, which ` +
        'cannot take them back: use reply: { to: path } for replies that may change. The session is ' +
        'left open.',
    );
  }

  async #handOver(piece: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    this.#assertOpen();
    throwIfAborted(signal);
    const taken = new Deferred<void>();
    const onClose = () => taken.reject(streamError(this.#failure));
    const onError = (cause: Error) => taken.reject(streamError(cause));
    this.#stream.once('close', onClose).once('error', onError);
    this.#handed.update(piece);
    this.#handedBytes += piece.byteLength;
    this.keptBytes = this.#handedBytes;
    try {
      this.#stream.write(piece, (error) => (error ? onError(error) : taken.resolve()));
      await unlessAborted(taken.promise, signal);
    } finally {
      this.#stream.off('close', onClose).off('error', onError);
    }
  }

  async #end(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#ended) {
      this.#assertOpen();
      this.#ended = true;
      this.#stream.end();
    }
    try {
      await finished(this.#stream, {
        readable: false,
        cleanup: true,
        ...(signal && { signal }),
      });
    } catch (cause) {
      throw signal?.aborted ? abortError(signal) : streamError(cause);
    }
  }

  #assertOpen(): void {
    if (this.#failure || this.#stream.destroyed || this.#stream.writableEnded) {
      throw streamError(this.#failure ?? this.#stream.errored ?? undefined);
    }
  }

  #listen(): void {
    if (!this.#stream.listeners('error').includes(this.#onError)) {
      this.#stream.on('error', this.#onError);
    }
  }

  // Without a listener an error between two writes would end the process.
  readonly #onError = (error: Error): void => {
    this.#failure ??= error;
  };
}

function streamError(cause: unknown): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    'The stream that the reply goes to failed or was closed before the reply was whole. The ' +
      'session is left open.',
    { cause },
  );
}
