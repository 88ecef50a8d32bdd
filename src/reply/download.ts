import {
  BitsAbortError,
  BitsError,
  BitsStateError,
  BitsTransportError,
  isBitsError,
} from '../errors.js';
import type { WireHeaders } from '../protocol/packets.js';
import { type PartRange, type ReplyAnswer, readReplyAnswer } from './answer.js';
import type { ReplyCandidate } from './candidates.js';
import { isSameEntity, type ReplyEntity, readEntity } from './entity.js';
import { ReplyGoneError } from './reply-gone-error.js';
import type { ReplySink, StoredReply } from './reply-sink.js';
import type { ReplyResumePoint } from './resume-point.js';
import { createReplySink, type ReplyOption } from './sink.js';

export type { StoredReply } from './reply-sink.js';

export interface ReplyResponse {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Its pieces stay valid. Leaving the iteration early releases the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * One GET, redirects not followed.
 *
 * Rejects with a `BitsError` and never for a status. The signal cuts the request and the iteration
 * of the body, at once.
 */
export type ReplyFetch = (
  request: {
    readonly url: URL;
    readonly headers: Readonly<Record<string, string>>;
    readonly withCredentials: boolean;
  },
  signal: AbortSignal | undefined,
) => Promise<ReplyResponse>;

export interface ReplyDownloadOptions {
  /** Job id: another process finds the partial file by it. */
  readonly id: string;
  readonly option: ReplyOption;
  /** At least one, in the order in which to try them. */
  readonly candidates: readonly ReplyCandidate[];
  readonly fetch: ReplyFetch;
  /** Whether the result tells the SHA-256 of the reply. @default false */
  readonly sha256?: boolean | undefined;
  /** Where an earlier download of the same reply stood. */
  readonly saved?: ReplyResumePoint | undefined;
  /** Called for each piece; `receivedBytes` falls when the download starts over. */
  readonly onProgress?:
    | ((receivedBytes: number, totalBytes: number | undefined) => void)
    | undefined;
}

export interface ReplyDownload {
  readonly receivedBytes: number;
  /** Undefined while the server has not told. */
  readonly totalBytes: number | undefined;
  /** For the job's record. */
  readonly resumePoint: ReplyResumePoint;
  /**
   * Makes one attempt; what arrives is kept for the next one.
   *
   * Resolves when the whole reply is stored for good: only then may the session be closed. Every
   * rejection is a `BitsError`, of which `retryable` says whether another attempt may help.
   *
   * @throws BITS_ERR_REPLY, BITS_ERR_REPLY_TOO_LARGE, BITS_ERR_UNTRUSTED_HOST, BITS_ERR_AUTH,
   * BITS_ERR_SERVER, BITS_ERR_TRANSPORT, BITS_ERR_TIMEOUT, BITS_ERR_ABORTED; BITS_ERR_STATE while
   * another attempt is under way.
   */
  attempt(signal?: AbortSignal): Promise<StoredReply>;
  /**
   * Frees everything. Never rejects.
   *
   * After success to be called once the record says that the reply is stored: the part file, which
   * proves it to a later process, goes here.
   */
  close(fate: { readonly keepPartial: boolean }): Promise<void>;
}

const MAX_REDIRECTS = 5;
/** How often a reply may turn out to be another one before the download gives up. */
const MAX_CHANGES = 3;

/** Prepares the download of a reply; nothing is sent and no file touched before `attempt`. */
export function createReplyDownload(options: ReplyDownloadOptions): ReplyDownload {
  return new Download(options);
}

/** An answer with what it takes to read or leave its body. */
interface Exchange {
  readonly answer: ReplyAnswer;
  readonly entity: ReplyEntity;
  readonly place: string;
  /** First byte that was asked for. */
  readonly askedFrom: number;
  pieces(): AsyncIterable<Uint8Array>;
  /** Drops the rest of the body and its connection. */
  leave(): Promise<void>;
}

class Download implements ReplyDownload {
  readonly #options: ReplyDownloadOptions;
  readonly #sink: ReplySink;
  #entity: ReplyEntity = {};
  #place: string | undefined;
  #candidate = 0;
  /** What an earlier process left for the first attempt. */
  #savedBytes = 0;
  #opened = false;
  #busy = false;
  #rangesUsable = true;
  #changes = 0;
  /** Set when the server has no more bytes to give. */
  #wholeBytes: number | undefined;
  #stored: StoredReply | undefined;

  constructor(options: ReplyDownloadOptions) {
    this.#options = options;
    const { id, option, sha256 = false, saved, candidates } = options;
    this.#sink = createReplySink(option, { id, sha256 });
    if (saved === undefined) return;
    const { totalBytes, etag, lastModified, ifRange } = saved;
    this.#entity = { totalBytes, etag, lastModified, ifRange };
    this.#place = saved.place;
    this.#savedBytes = saved.receivedBytes;
    if (saved.candidate < candidates.length) this.#candidate = saved.candidate;
  }

  get receivedBytes(): number {
    return this.#opened ? this.#sink.keptBytes : this.#savedBytes;
  }

  get totalBytes(): number | undefined {
    return this.#entity.totalBytes;
  }

  get resumePoint(): ReplyResumePoint {
    const receivedBytes = this.#opened ? this.#sink.durableBytes : this.#savedBytes;
    return { ...this.#entity, receivedBytes, candidate: this.#candidate, place: this.#place };
  }

  async attempt(signal?: AbortSignal): Promise<StoredReply> {
    if (this.#stored) return this.#stored;
    if (this.#busy) throw new BitsStateError('the reply is being downloaded already');
    throwIfAborted(signal);
    this.#busy = true;
    try {
      this.#stored = await this.#fetchAndStore(signal);
      return this.#stored;
    } finally {
      await this.#sink.release();
      this.#busy = false;
    }
  }

  async close(fate: { readonly keepPartial: boolean }): Promise<void> {
    await this.#sink.close(fate);
  }

  async #fetchAndStore(signal: AbortSignal | undefined): Promise<StoredReply> {
    const found = await this.#sink.open(this.receivedBytes);
    this.#opened = true;
    if (found) {
      this.#entity = { ...this.#entity, totalBytes: found.bytes };
      this.#progress();
      return found;
    }
    if (this.#wholeBytes !== this.#sink.keptBytes) {
      await this.#receive(signal);
      this.#wholeBytes = this.#sink.keptBytes;
      this.#entity = { ...this.#entity, totalBytes: this.#wholeBytes };
    }
    return this.#sink.finish(signal);
  }

  /** Resolves when the sink holds the whole reply. */
  async #receive(signal: AbortSignal | undefined): Promise<void> {
    const gone = new Set<number>();
    for (;;) {
      const exchange = await this.#ask(signal);
      try {
        if (await this.#take(exchange, gone, signal)) return;
      } finally {
        await exchange.leave();
      }
    }
  }

  async #take(
    { answer, entity, place, askedFrom, pieces }: Exchange,
    gone: Set<number>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    switch (answer.kind) {
      case 'whole':
        await this.#takeWhole(pieces(), answer.totalBytes, entity, place, signal);
        return true;
      case 'part':
        return askedFrom === 0
          ? this.#takeUnaskedPart(pieces(), answer.range, entity, place, signal)
          : this.#takePart(pieces(), answer.range, entity, askedFrom, signal);
      case 'unsatisfiable':
        return this.#isEnd(answer.totalBytes, entity, askedFrom);
      case 'gone':
        this.#turnToNext(gone, answer.status);
        return false;
      case 'refused':
        throw answer.error;
      case 'redirect':
        throw new BitsError(
          'BITS_ERR_REPLY',
          `The reply was redirected more than ${MAX_REDIRECTS} times: check the server. The ` +
            'session is left open.',
        );
    }
  }

  async #takeWhole(
    pieces: AsyncIterable<Uint8Array>,
    totalBytes: number | undefined,
    entity: ReplyEntity,
    place: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#sink.keptBytes > 0) {
      if (place === this.#place && !isSameEntity(this.#entity, entity)) this.#countChange();
      await this.#sink.restart();
    }
    this.#entity = entity;
    this.#place = place;
    if (totalBytes !== undefined) this.#sink.expect(totalBytes);
    this.#progress();
    await this.#copy(pieces, totalBytes, signal);
  }

  // Some servers answer any GET with 206; what is not the whole then cannot be made whole.
  async #takeUnaskedPart(
    pieces: AsyncIterable<Uint8Array>,
    range: PartRange | undefined,
    entity: ReplyEntity,
    place: string,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (range?.start !== 0 || range.end !== range.total) {
      throw brokenRanges('answered 206 with a part that was not asked for');
    }
    await this.#takeWhole(
      pieces,
      range.total,
      { ...entity, totalBytes: range.total },
      place,
      signal,
    );
    return true;
  }

  async #takePart(
    pieces: AsyncIterable<Uint8Array>,
    range: PartRange | undefined,
    entity: ReplyEntity,
    askedFrom: number,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (range?.start !== askedFrom) {
      this.#rangesUsable = false;
      await this.#sink.restart();
      return false;
    }
    const totalBytes = range.total ?? this.#entity.totalBytes;
    const same = isSameEntity(this.#entity, { ...entity, totalBytes });
    if (!same || (totalBytes !== undefined && range.end > totalBytes)) {
      this.#countChange();
      await this.#sink.restart();
      return false;
    }
    this.#entity = { ...this.#entity, totalBytes };
    if (totalBytes !== undefined) this.#sink.expect(totalBytes);
    await this.#copy(pieces, range.end - range.start, signal);
    return totalBytes === this.#sink.keptBytes;
  }

  async #isEnd(
    toldBytes: number | undefined,
    entity: ReplyEntity,
    askedFrom: number,
  ): Promise<boolean> {
    if (askedFrom === 0) throw brokenRanges('answered 416 although no range was asked for');
    const totalBytes = toldBytes ?? this.#entity.totalBytes;
    const same = isSameEntity(this.#entity, { ...entity, totalBytes });
    if (totalBytes === askedFrom && same) return true;
    if (totalBytes === undefined) this.#rangesUsable = false;
    else this.#countChange();
    await this.#sink.restart();
    return false;
  }

  #turnToNext(gone: Set<number>, status: number): void {
    const { candidates } = this.#options;
    gone.add(this.#candidate);
    if (gone.size === candidates.length) {
      throw new ReplyGoneError(
        `The server announced a reply but has none there (HTTP status ${status}): check the ` +
          'server application and that the reply directory is readable by GET. The session is ' +
          'left open, so that resuming fetches the reply without uploading again.',
      );
    }
    this.#candidate = (this.#candidate + 1) % candidates.length;
  }

  /** Sends one GET, follows redirects, and hands the last answer over unread. */
  async #ask(signal: AbortSignal | undefined): Promise<Exchange> {
    let target = this.#options.candidates[this.#candidate];
    if (target === undefined) throw new BitsStateError('there is no place to fetch the reply from');
    for (let redirects = 0; ; redirects += 1) {
      const exchange = await this.#send(target, signal);
      const { answer } = exchange;
      if (answer.kind !== 'redirect' || redirects === MAX_REDIRECTS) return exchange;
      await exchange.leave();
      target = target.redirected(answer.location);
    }
  }

  async #send(
    { url, withCredentials }: ReplyCandidate,
    signal: AbortSignal | undefined,
  ): Promise<Exchange> {
    const place = `${url.origin}${url.pathname}`;
    const { ifRange } = this.#entity;
    const resumes = this.#rangesUsable && place === this.#place && ifRange !== undefined;
    const askedFrom = resumes ? this.#sink.keptBytes : 0;
    // The first request has no Range, which some servers answer wrongly: it would bring nothing.
    const headers = {
      Accept: '*/*',
      'Accept-Encoding': 'identity',
      ...(askedFrom > 0 &&
        ifRange !== undefined && {
          Range: `bytes=${askedFrom}-`,
          'If-Range': ifRange,
        }),
    };

    const cut = new AbortController();
    const onAbort = () => cut.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const unlink = () => signal?.removeEventListener('abort', onAbort);
    try {
      throwIfAborted(signal);
      const response = await this.#options.fetch({ url, headers, withCredentials }, cut.signal);
      const answer = readReplyAnswer(response, Date.now());
      const totalBytes = answer.kind === 'whole' ? answer.totalBytes : undefined;
      const entity = readEntity(response.headers, totalBytes, Date.now());
      const body = new Body(response.body, cut, signal);
      const leave = async () => {
        await body.leave();
        unlink();
      };
      return { answer, entity, place, askedFrom, pieces: () => body.pieces(), leave };
    } catch (error) {
      unlink();
      throw fetchError(error, signal);
    }
  }

  /** @throws BITS_ERR_REPLY, retryable, when there are not exactly `bodyBytes` */
  async #copy(
    pieces: AsyncIterable<Uint8Array>,
    bodyBytes: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let takenBytes = 0;
    for await (const piece of pieces) {
      if (piece.byteLength === 0) continue;
      takenBytes += piece.byteLength;
      if (bodyBytes !== undefined && takenBytes > bodyBytes) {
        await this.#sink.restart();
        this.#countChange();
        throw lengthError(`is longer than the ${bodyBytes} bytes that the server told`);
      }
      await this.#sink.write(piece, signal);
      this.#progress();
    }
    if (bodyBytes !== undefined && takenBytes < bodyBytes) {
      throw lengthError(`ended after ${takenBytes} of ${bodyBytes} bytes`);
    }
  }

  #countChange(): void {
    this.#changes += 1;
    if (this.#changes <= MAX_CHANGES) return;
    throw new BitsError(
      'BITS_ERR_REPLY',
      `The reply changed ${this.#changes} times while it was downloaded: check that the server ` +
        'application writes it once. The session is left open.',
    );
  }

  #progress(): void {
    this.#options.onProgress?.(this.#sink.keptBytes, this.#entity.totalBytes);
  }
}

/** The body of an answer, which is read to its end or cut off. */
class Body {
  readonly #pieces: AsyncIterable<Uint8Array>;
  readonly #cut: AbortController;
  readonly #signal: AbortSignal | undefined;
  #begun = false;

  constructor(
    pieces: AsyncIterable<Uint8Array>,
    cut: AbortController,
    signal: AbortSignal | undefined,
  ) {
    this.#pieces = pieces;
    this.#cut = cut;
    this.#signal = signal;
  }

  // A consumer that stops early ends the inner iteration too, which releases the connection.
  async *pieces(): AsyncGenerator<Uint8Array> {
    this.#begun = true;
    try {
      yield* this.#pieces;
    } catch (error) {
      throw fetchError(error, this.#signal);
    }
  }

  async leave(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    // An iteration that never began cannot be left, and its first piece may never come.
    this.#cut.abort();
    try {
      for await (const _piece of this.#pieces) break;
    } catch {
      // That it was cut is no news.
    }
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

function abortError(signal: AbortSignal): BitsAbortError {
  return new BitsAbortError('The download of the reply was stopped.', { cause: signal.reason });
}

function fetchError(error: unknown, signal: AbortSignal | undefined): BitsError {
  if (signal?.aborted) return abortError(signal);
  if (isBitsError(error)) return error;
  return new BitsTransportError(
    'The connection that the reply came over failed: check the network and the server.',
    { cause: error },
  );
}

function lengthError(what: string): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    `The reply ${what}: check the server and proxies in between. The session is left open.`,
    { retryable: true },
  );
}

function brokenRanges(what: string): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    `The server ${what}: check the server and proxies in between. The session is left open.`,
  );
}
