import type { Dispatcher } from 'undici';
import { onAbort } from '../common/abort.js';
import { AwakeTime } from '../common/awake-time.js';
import type { Clock } from '../common/clock.js';
import { Deferred } from '../common/deferred.js';
import { BitsAbortError, type BitsTimeoutError, BitsTransportError } from '../errors.js';
import { AnswerBody, EMPTY_BODY } from './answer-body.js';
import {
  answerHeaders,
  DRAIN_BYTES,
  DRAIN_MS,
  endsWithConnection,
  unreadBody,
} from './answer-head.js';
import { BodyPump } from './body-pump.js';
import type { Connection } from './connection.js';
import { Deadline, type Phase } from './deadline.js';
import { isCertificateAlert, staleConnectionFailure, toTransportFailure } from './failure.js';
import type { Line, SentRequest } from './line.js';
import type { RequestHead } from './request-head.js';
import { Drain } from './send-queue.js';
import type { SendOptions, WireBody, WireResponse } from './transport.js';

/** A request that waits for the connection gives the drain of the last answer this much more. */
const DRAIN_GRACE_MS = 100;

/** After so long without any progress, it is looked whether this machine still has its address. */
const QUIET_MS = 3_000;

/** After so long without any progress, it is looked whether bytes still leave the system. */
const SHORT_QUIET_MS = 500;

export interface ExchangeParts {
  readonly line: Line;
  /** Called when nothing of the exchange is left on the wire. */
  readonly onEnd: () => void;
  /** For tests. */
  readonly clock?: Clock | undefined;
}

/**
 * One request and its answer.
 *
 * The caller waits for the head of the answer; the exchange lasts until the body of the answer is
 * read, drained or cut.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #head: RequestHead;
  readonly #options: SendOptions;
  readonly #line: Line;
  readonly #onEnd: () => void;
  readonly #deadline: Deadline;
  readonly #pump: BodyPump | undefined;
  readonly #drain = new Drain();
  /** The other end has acknowledged the whole body. */
  #isDrained = false;
  readonly #listening: Disposable | undefined;
  readonly #answer = new Deferred<WireResponse>();
  #ended: Deferred<void> | undefined;
  #givenUp: AbortController | undefined;
  readonly #time = new AwakeTime();
  #isEnded = false;
  #connection: Connection | undefined;
  /** Of the request: whether the connection took it. */
  #start: Deferred<boolean> | undefined;
  #isStarted = false;
  /** When the last byte of the request had been taken. */
  #sentAtMs = 0;
  #isSourceEnded: boolean;
  #response: WireResponse | undefined;
  #answerBody: AnswerBody | undefined;
  #isAnswerOver = false;
  #drainedBytes = 0;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    head: RequestHead,
    body: WireBody | undefined,
    options: SendOptions,
    { line, onEnd, clock }: ExchangeParts,
  ) {
    this.#head = head;
    this.#options = options;
    this.#line = line;
    this.#onEnd = onEnd;
    this.#deadline = new Deadline(options, head.url, (error) => this.#timeOut(error), {
      limitMs: (phase) => this.#limitMs(phase),
      onQuiet: (quietMs) => this.#lookAtConnection(quietMs),
      clock,
    });
    this.#isSourceEnded = head.bodyBytes === 0;
    if (body !== undefined && head.bodyBytes > 0) {
      this.#pump = new BodyPump(body, this.#deadline, line, this.#time, options.onBytesSent);
      this.#pump.sourceEnd.then(
        () => this.#endSource(),
        (error) => this.cut(error),
      );
    }
    this.#listening =
      options.signal &&
      onAbort(options.signal, () => this.cut(new BitsAbortError('The request was aborted')));
  }

  /** Resolves as soon as the head of the answer is there and the source has proved good. */
  get answer(): Promise<WireResponse> {
    return this.#answer.promise;
  }

  /** Aborts when the request is given up: for whoever opens a connection for it. */
  get signal(): AbortSignal {
    this.#givenUp ??= new AbortController();
    return this.#givenUp.signal;
  }

  /** Whether nothing of it is left on the wire, or will be. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Whether the answer asks for authentication. */
  get isChallenged(): boolean {
    return this.#response?.status === 401 || this.#response?.status === 407;
  }

  /** Whether only the rest of an answer that nobody reads is still to come. */
  get isDraining(): boolean {
    return this.#drainTimer !== undefined;
  }

  /** Gets the source ready, before a connection is taken for it. */
  async begin(): Promise<void> {
    if (this.#pump !== undefined) await this.#pump.begin();
    if (!this.#isEnded) this.#deadline.run('send');
  }

  /**
   * @param target the request-target
   * @returns false when the connection turned out to have ended before anything was sent
   */
  async sendOver(connection: Connection, target: string): Promise<boolean> {
    if (this.#isEnded) return true;
    const { method, url, headers } = this.#head;
    this.#connection = connection;
    this.#start = new Deferred();
    connection.dispatch(
      {
        path: target,
        method,
        headers: { Host: url.host, ...headers },
        body: this.#pump ?? null,
      } as Dispatcher.DispatchOptions,
      this,
      (bytes) => {
        this.#sentAtMs = this.#time.elapsedMs;
        this.#pump?.taken(bytes);
      },
    );
    return this.#start.promise;
  }

  /** Gives the request up: the caller gets the error, and the connection is closed at once. */
  cut(error: unknown): void {
    if (this.#isEnded) return;
    this.#end();
    this.#answer.reject(error);
    this.#answerBody?.fail(error);
    this.#givenUp?.abort();
    this.#connection?.reset();
  }

  /** Another request waits for the connection: resolves when this one does not have it any more. */
  hurry(): Promise<void> {
    this.#limitDrain(DRAIN_GRACE_MS);
    this.#ended ??= new Deferred();
    return this.#ended.promise;
  }

  onRequestStart(): void {
    this.#isStarted = true;
    this.#start?.resolve(true);
    this.#sentAtMs = this.#time.elapsedMs;
    this.#deadline.run(this.#pump ? 'send' : 'answer');
  }

  onResponseStart({ rawHeaders }: Dispatcher.DispatchController, status: number): void {
    const connection = this.#connection;
    if (this.#isEnded || connection === undefined) return;
    const headers = answerHeaders(rawHeaders as Uint8Array[]);
    // Over TLS, Node tells a turn later that bytes have left: the answer to them may come before.
    if (status < 300) this.#pump?.received();
    this.#deadline.end();
    const isEarly = this.#pump?.isAllTaken === false;
    if (isEarly) this.#pump?.stop();
    else this.#line.answered(this.#sent, this.#time.elapsedMs - this.#sentAtMs, connection.wasUsed);
    // What follows a 101 is no body, and not HTTP.
    if (this.#options.answerBody === 'stream' && status !== 101) {
      this.#answerBody = new AnswerBody(connection, this.#deadline, () => this.#leave());
    }
    this.#response = { status, headers, connection, body: this.#answerBody ?? EMPTY_BODY };
    this.#hand();
    if (this.#answerBody) return;
    const unread = unreadBody(status, headers);
    if (isEarly || unread === 'much') this.#leave();
    // An empty body has ended within this turn.
    else if (unread === 'little') this.#limitDrain(DRAIN_MS);
  }

  onResponseData(_controller: unknown, chunk: Uint8Array): void {
    if (this.#isEnded) return;
    this.#drainedBytes += chunk.byteLength;
    if (this.#answerBody) this.#answerBody.push(chunk);
    else if (this.#drainedBytes > DRAIN_BYTES) this.#leave();
  }

  onResponseEnd(): void {
    if (this.#isEnded) return;
    const failure = this.#connection?.failure;
    // undici takes a reset for the end of such a body, on some systems rightly; nobody can tell.
    if (failure !== undefined && endsWithConnection(this.#response?.headers ?? {})) {
      this.onResponseError(undefined, failure);
      return;
    }
    this.#answerBody?.end();
    this.#isAnswerOver = true;
    if (this.#isSourceEnded) this.#end();
  }

  onResponseError(_controller: unknown, error: unknown): void {
    const connection = this.#connection;
    // Of an alert after the handshake undici tells no more than that the connection ended.
    const alert = isCertificateAlert(connection?.failure) ? connection?.failure : undefined;
    const failure = toTransportFailure(alert ?? error, this.#head.url.host);
    if (this.#isEnded || !connection?.wasUsed || connection.hasAnswered) this.cut(failure);
    else if (this.#isStarted) {
      this.#line.broke();
      this.cut(staleConnectionFailure(failure));
    }
    this.#start?.resolve(false);
  }

  get #sent(): SentRequest {
    const { bodyBytes } = this.#head;
    return { kind: this.#options.kind, bodyBytes, sendMs: this.#pump?.sendMs ?? 0 };
  }

  #limitMs(phase: Phase): number | undefined {
    const { stallTimeoutMs, answerTimeoutMs } = this.#options;
    if (phase === 'send') {
      const { leftMs } = this.#drain;
      return leftMs === undefined
        ? this.#line.stallLimitMs(stallTimeoutMs)
        : this.#line.seenStallLimitMs(stallTimeoutMs, leftMs);
    }
    return phase === 'answer' ? this.#line.answerLimitMs(answerTimeoutMs, this.#sent) : undefined;
  }

  #timeOut(error: BitsTimeoutError): void {
    if (this.#isStarted) this.#line.timedOut();
    this.cut(error);
  }

  #lookAtConnection(quietMs: number): void {
    if (quietMs >= QUIET_MS) this.#checkAddress();
    if (quietMs >= SHORT_QUIET_MS) void this.#lookAtDrain();
  }

  /** What the system took has not arrived yet: as long as that becomes less, nothing stands still. */
  async #lookAtDrain(): Promise<void> {
    const pump = this.#pump;
    if (!pump || this.#isDrained) return;
    const leftBytes = await this.#connection?.unacknowledgedBytes();
    // Meanwhile the source may have been asked for more, or the answer have come.
    if (leftBytes === undefined || this.#response || !this.#deadline.isRunning) return;
    const hasMoved = this.#drain.look(pump.takenBytes, leftBytes, this.#time.elapsedMs);
    this.#isDrained = pump.isAllTaken && leftBytes === 0;
    if (hasMoved) this.#deadline.run(this.#isDrained ? 'answer' : 'send');
  }

  #checkAddress(): void {
    const address = this.#connection?.lostAddress();
    if (address === undefined) return;
    this.cut(
      new BitsTransportError(
        `This machine lost the address ${address} that it was connected to ${this.#head.url.host} with: check its network`,
      ),
    );
  }

  #endSource(): void {
    this.#isSourceEnded = true;
    this.#hand();
    if (this.#isAnswerOver) this.#end();
  }

  #hand(): void {
    if (this.#response && this.#isSourceEnded) this.#answer.resolve(this.#response);
  }

  /** Nobody wants the rest of the answer. */
  #leave(): void {
    if (this.#isEnded) return;
    this.#end();
    this.#connection?.reset();
  }

  #limitDrain(limitMs: number): void {
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(() => this.#leave(), limitMs);
    // Once its answer is handed out, no process should live on for the sake of a connection.
    this.#drainTimer.unref();
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#deadline.end();
    this.#time.stop();
    clearTimeout(this.#drainTimer);
    this.#drainTimer = undefined;
    this.#listening?.[Symbol.dispose]();
    this.#pump?.release();
    this.#connection?.release();
    this.#onEnd();
    this.#ended?.resolve();
  }
}
