import { throwIfAborted } from '../common/abort.js';
import { BitsError, BitsStateError } from '../errors.js';
import { ReplyBudget } from './budget.js';
import type { ReplyCandidate } from './candidates.js';
import {
  changed,
  decide,
  NOTHING_KNOWN,
  type ReplyDecision,
  type ReplyKnowledge,
  type ReplyRequest,
  rangeToAsk,
} from './decision.js';
import type { ReplyEntity } from './entity.js';
import { type ReplyFetch, ReplyGet } from './get.js';
import type { ResolvedReply } from './reply-option.js';
import { createReplySink } from './reply-target.js';
import type { ReplySink, StoredReply } from './sink.js';

/** Where a download stands, for another process to resume it. Plain JSON, without secrets. */
export interface ReplyResumePoint extends ReplyEntity {
  /** Bytes that are on the disk for good; 0 for a reply to memory or to a stream. */
  readonly receivedBytes: number;
  /** Index of the candidate that answered last. */
  readonly candidate: number;
  /** Origin and path that the bytes came from, redirects followed; only there they are continued. */
  readonly place?: string | undefined;
}

export interface ReplyDownloadOptions {
  /** Job id: another process finds the partial file by it. */
  readonly id: string;
  readonly reply: ResolvedReply;
  /** At least one, in the order in which to try them. */
  readonly candidates: readonly ReplyCandidate[];
  readonly fetch: ReplyFetch;
  /** Stops the download for good; another one continues what it has stored. */
  readonly signal: AbortSignal;
  /** How long, in all, the reply may come slower than 256 bytes per second. */
  readonly slowLimitMs: number;
  /** Where an earlier download of the same reply stood. */
  readonly saved?: ReplyResumePoint | undefined;
  /** Called for each piece; `receivedBytes` falls when the download starts over. */
  readonly onProgress?:
    | ((receivedBytes: number, totalBytes: number | undefined) => void)
    | undefined;
}

/** Nothing is at any place where the reply may be. */
export class ReplyGoneError extends BitsError {
  constructor(status: number) {
    super(
      'BITS_ERR_REPLY',
      `The server announced a reply but has none there (HTTP status ${status}): check the server ` +
        'application and that the reply directory is readable by GET. The session is left open, ' +
        'so that resuming fetches the reply without uploading again.',
    );
  }
}

/**
 * The download of one reply, in as many attempts as it takes; nothing is sent and no file touched
 * before the first one.
 */
export class ReplyDownload {
  readonly #options: ReplyDownloadOptions;
  readonly #sink: ReplySink;
  readonly #budget: ReplyBudget;
  #known: ReplyKnowledge = NOTHING_KNOWN;
  #candidate = 0;
  /** What an earlier process left for the first attempt. */
  #savedBytes = 0;
  #opened = false;
  /** Set when the server has no more bytes to give. */
  #wholeBytes: number | undefined;
  #stored: StoredReply | undefined;

  constructor(options: ReplyDownloadOptions) {
    this.#options = options;
    const { id, reply, saved, candidates, slowLimitMs } = options;
    this.#sink = createReplySink(reply, id);
    this.#budget = new ReplyBudget(slowLimitMs);
    if (saved === undefined) return;
    const { receivedBytes, candidate, place, ...entity } = saved;
    this.#known = { ...NOTHING_KNOWN, entity, place };
    this.#savedBytes = receivedBytes;
    if (candidate < candidates.length) this.#candidate = candidate;
  }

  get receivedBytes(): number {
    return this.#opened ? this.#sink.keptBytes : this.#savedBytes;
  }

  /** Undefined while the server has not told. */
  get totalBytes(): number | undefined {
    return this.#known.entity.totalBytes;
  }

  /** For the job's record. */
  get resumePoint(): ReplyResumePoint {
    const { entity, place } = this.#known;
    const receivedBytes = this.#opened ? this.#sink.durableBytes : this.#savedBytes;
    return { ...entity, receivedBytes, candidate: this.#candidate, place };
  }

  /**
   * Makes one attempt; what arrives is kept for the next one.
   *
   * Resolves when the whole reply is stored for good: only then may the session be closed. Every
   * rejection is a `BitsError`, of which `retryable` says whether another attempt may help.
   *
   * @throws BITS_ERR_REPLY, BITS_ERR_REPLY_TOO_LARGE, BITS_ERR_UNTRUSTED_HOST, BITS_ERR_AUTH,
   * BITS_ERR_SERVER, BITS_ERR_TRANSPORT, BITS_ERR_TIMEOUT, BITS_ERR_ABORTED
   */
  async attempt(): Promise<StoredReply> {
    if (this.#stored) return this.#stored;
    throwIfAborted(this.#options.signal);
    try {
      this.#stored = await this.#fetchAndStore();
      return this.#stored;
    } finally {
      await this.#sink.release();
    }
  }

  /**
   * Frees everything. Never rejects.
   *
   * After success to be called once the record says that the reply is stored: the part file, which
   * proves it to a later process, goes here.
   */
  async close(fate: { readonly keepPartial: boolean }): Promise<void> {
    await this.#sink.close(fate);
  }

  async #fetchAndStore(): Promise<StoredReply> {
    const found = await this.#sink.open(this.receivedBytes);
    this.#opened = true;
    if (found) {
      this.#knowTotal(found.bytes);
      this.#progress();
      return found;
    }
    if (this.#wholeBytes !== this.#sink.keptBytes) {
      await this.#receive();
      this.#wholeBytes = this.#sink.keptBytes;
      this.#knowTotal(this.#wholeBytes);
    }
    return this.#sink.finish(this.#options.signal);
  }

  /** Resolves when the sink holds the whole reply. */
  async #receive(): Promise<void> {
    const { fetch, signal } = this.#options;
    const gone = new Set<number>();
    let target = this.#place();
    for (let redirects = 0; ; ) {
      const { url } = target;
      const { request, headers } = this.#requestTo(url);
      const get = await ReplyGet.send(fetch, { url, headers }, signal);
      try {
        if (get.answer.kind === 'redirect') {
          target = target.redirected(get.answer.location, redirects);
          redirects += 1;
        } else {
          const decision = decide(this.#known, request, get.answer, get.entity);
          if (await this.#carryOut(decision, get, gone)) return;
          redirects = 0;
          target = this.#place();
        }
      } finally {
        get.leave();
      }
    }
  }

  #place(): ReplyCandidate {
    const candidate = this.#options.candidates[this.#candidate];
    if (candidate === undefined)
      throw new BitsStateError('there is no place to fetch a reply from');
    return candidate;
  }

  #requestTo({ origin, pathname }: URL): {
    readonly request: ReplyRequest;
    readonly headers: Readonly<Record<string, string>>;
  } {
    const place = `${origin}${pathname}`;
    const { keptBytes } = this.#sink;
    const { fromByte, headers } = rangeToAsk(this.#known, place, keptBytes);
    return {
      request: { place, fromByte, keptBytes },
      headers: { Accept: '*/*', 'Accept-Encoding': 'identity', ...headers },
    };
  }

  /** @returns whether the sink holds the whole reply */
  async #carryOut(decision: ReplyDecision, get: ReplyGet, gone: Set<number>): Promise<boolean> {
    switch (decision.kind) {
      case 'complete':
        return true;
      case 'gone':
        this.#turnToNext(gone, decision.status);
        return false;
      case 'start-over':
        await this.#sink.restart();
        this.#known = decision.known;
        return false;
      case 'take':
        if (decision.fromByte === 0 && this.#sink.keptBytes > 0) await this.#sink.restart();
        this.#known = decision.known;
        if (this.totalBytes !== undefined) this.#assertFits(this.totalBytes);
        this.#progress();
        await this.#copy(get, decision.bodyBytes);
        return decision.isLast;
    }
  }

  #turnToNext(gone: Set<number>, status: number): void {
    const { candidates } = this.#options;
    gone.add(this.#candidate);
    if (gone.size === candidates.length) throw new ReplyGoneError(status);
    this.#candidate = (this.#candidate + 1) % candidates.length;
  }

  /** @throws BITS_ERR_REPLY, retryable, when there are not exactly `bodyBytes` */
  async #copy(get: ReplyGet, bodyBytes: number | undefined): Promise<void> {
    let takenBytes = 0;
    for (let piece = await get.next(); piece !== undefined; piece = await get.next()) {
      if (takenBytes === 0) this.#budget.answered();
      this.#budget.received(piece.byteLength, get.waitedMs);
      takenBytes += piece.byteLength;
      if (bodyBytes !== undefined && takenBytes > bodyBytes) {
        await this.#sink.restart();
        this.#known = changed(this.#known);
        throw lengthError(`is longer than the ${bodyBytes} bytes that the server announced`);
      }
      this.#assertFits(this.#sink.keptBytes + piece.byteLength);
      await this.#sink.write(piece, this.#options.signal);
      this.#budget.kept(this.#sink.keptBytes);
      this.#progress();
    }
    if (bodyBytes !== undefined && takenBytes < bodyBytes) {
      throw lengthError(`ended after ${takenBytes} of ${bodyBytes} bytes`);
    }
  }

  /** @throws BITS_ERR_REPLY_TOO_LARGE */
  #assertFits(bytes: number): void {
    const { path, stream, maxBytes } = this.#options.reply;
    if (bytes <= maxBytes) return;
    const isMemory = path === undefined && stream === undefined;
    const elsewhere = isMemory ? 'have it stored with reply: { to: path }, or ' : '';
    throw new BitsError(
      'BITS_ERR_REPLY_TOO_LARGE',
      `The reply is larger than ${maxBytes} bytes: ${elsewhere}raise reply.maxBytes. The session is ` +
        'left open, so that resuming fetches the reply without uploading again.',
    );
  }

  #knowTotal(totalBytes: number): void {
    this.#known = { ...this.#known, entity: { ...this.#known.entity, totalBytes } };
  }

  #progress(): void {
    this.#options.onProgress?.(this.#sink.keptBytes, this.totalBytes);
  }
}

function lengthError(what: string): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    `The reply ${what}: check the server and proxies in between. The session is left open.`,
    { retryable: true },
  );
}
