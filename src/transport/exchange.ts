import type { Dispatcher } from 'undici';
import { BitsAbortError } from '../errors.js';
import { AnswerBody, EMPTY_BODY } from './answer-body.js';
import {
  answerHeaders,
  DRAIN_BYTES,
  DRAIN_MS,
  endsWithConnection,
  isEmpty,
  isWorthDraining,
  type ReceivedHeaders,
} from './answer-head.js';
import { BodyPump } from './body-pump.js';
import { type CurrentConnection, currentConnection } from './current-connection.js';
import { Deadline } from './deadline.js';
import { toTransportFailure } from './failure.js';
import type { PacketOptions } from './packet-options.js';
import { QuickBody } from './quick-body.js';
import type { RequestBody } from './request-body.js';
import type { RequestHead } from './request-head.js';
import { currentThrottle, type Throttle } from './throttle.js';
import type { WireBody, WireConnection, WireResponse } from './transport.js';
import { MAX_WHOLE_BYTES, WholeBody } from './whole-body.js';

/** A request that waits for a connection gives the drain of the last answer this much more. */
const DRAIN_GRACE_MS = 100;

type Controller = Pick<Dispatcher.DispatchController, 'abort' | 'pause' | 'resume'> & {
  readonly rawHeaders?: unknown;
};

export interface ExchangePlace {
  readonly dispatch: (request: Dispatcher.DispatchOptions, exchange: Exchange) => void;
  /** Whether the dispatcher's sockets have the wire shim. */
  readonly watches: boolean;
  /** The request was given up before it had a connection. */
  readonly onUnconnected: (exchange: Exchange) => void;
  /** Nothing of the exchange is left on the wire. */
  readonly onEnd: (exchange: Exchange) => void;
}

/**
 * One request and its answer over a dispatcher.
 *
 * The answer's head ends what the caller waits for; the exchange itself lasts until the body is
 * read, drained or cut.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly origin: string;
  readonly answer: Promise<WireResponse>;
  readonly #head: RequestHead;
  readonly #options: PacketOptions;
  readonly #place: ExchangePlace;
  readonly #deadline: Deadline;
  readonly #body: WireBody | undefined;
  /** Undefined as long as nothing of it is on its way. */
  #sending: RequestBody | undefined;
  readonly #onAbort = () => this.cut(new BitsAbortError('The request was aborted'));
  #resolve!: (response: WireResponse) => void;
  #reject!: (error: unknown) => void;
  #controller: Controller | undefined;
  #ended = false;
  /** The source has proved good, or nothing more is asked of it. */
  #sourceEnded: boolean;
  #answerEnded = false;
  #response: WireResponse | undefined;
  #connection: CurrentConnection | undefined;
  #answerBody: AnswerBody | undefined;
  #throttle: Throttle | undefined;
  #drainedBytes = 0;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    head: RequestHead,
    body: WireBody | undefined,
    options: PacketOptions,
    place: ExchangePlace,
  ) {
    this.origin = head.url.origin;
    this.#head = head;
    this.#options = options;
    this.#place = place;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#deadline = new Deadline(options, head.url, (error) => this.cut(error));
    this.#sourceEnded = head.bodyBytes === 0;
    this.#body = head.bodyBytes === 0 ? undefined : body;
  }

  /** Which its answer came over. */
  get connection(): WireConnection | undefined {
    return this.#connection;
  }

  start(): void {
    const { signal, abortSwitch } = this.#options;
    if (signal?.aborted || abortSwitch?.aborted) {
      this.#onAbort();
      return;
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    abortSwitch?.listen(this.#onAbort);
    this.#deadline.run('send');
    if (this.#body === undefined) this.#dispatch(null);
    else this.#dispatchBody(this.#body);
  }

  #dispatchBody(body: WireBody): void {
    try {
      const isShort = this.#place.watches && this.#head.bodyBytes <= MAX_WHOLE_BYTES;
      const whole = isShort ? QuickBody.whole(body) : undefined;
      if (whole === undefined) this.#dispatchPieces(body, isShort);
      else if ('then' in whole) void this.#dispatchWhenThere(whole);
      else this.#dispatchWhole(whole);
    } catch (error) {
      this.cut(error);
    }
  }

  async #dispatchWhenThere(coming: Promise<Uint8Array>): Promise<void> {
    // What happens until it is there is no network's fault.
    this.#deadline.pause();
    try {
      const whole = await coming;
      if (this.#ended) return;
      this.#deadline.run('send');
      this.#dispatchWhole(whole);
    } catch (error) {
      this.cut(error);
    }
  }

  #dispatchWhole(bytes: Uint8Array): void {
    const whole = new WholeBody(bytes, this.#head.bodyBytes, (sent) => {
      this.#options.onBytesSent?.(sent);
      // Whoever was told may have given the request up.
      if (!this.#ended && this.#response === undefined) this.#deadline.run('answer');
    });
    this.#sending = whole;
    this.#sourceEnded = true;
    this.#dispatch(whole.bytes);
  }

  #dispatchPieces(body: WireBody, isShort: boolean): void {
    const pump = new BodyPump(body, this.#place.watches, {
      onWaitForSource: () => {
        if (!pump.allSent) this.#deadline.pause();
      },
      onSlice: () => this.#deadline.run('send'),
      onBytesSent: (bytes) => {
        if (this.#response === undefined) this.#deadline.run('send');
        this.#options.onBytesSent?.(bytes);
      },
      onAllSent: () => {
        if (this.#response === undefined) this.#deadline.run('answer');
      },
      onSourceError: (error) => this.cut(error),
      onSourceEnd: () => {
        this.#sourceEnded = true;
        this.#hand();
        if (this.#answerEnded) this.#release();
      },
    });
    // Whoever was asked for the pieces may have given the request up.
    if (this.#ended) {
      pump.release();
      return;
    }
    this.#sending = pump;
    if (isShort) void this.#dispatchWholeOf(pump);
    else this.#dispatch(pump);
  }

  async #dispatchWholeOf(pump: BodyPump): Promise<void> {
    const whole = await pump.whole();
    if (this.#ended) return;
    // It was no network's fault until here; from here on it is, a wait for a connection included.
    this.#deadline.run('send');
    this.#dispatch(whole ?? pump);
  }

  #dispatch(body: BodyPump | Uint8Array | null): void {
    const { url, method, headers } = this.#head;
    try {
      this.#place.dispatch(
        {
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method: method as Dispatcher.HttpMethod,
          headers,
          body: body as Dispatcher.DispatchOptions['body'],
          // undici would close the connection after each body of a method that it does not know.
          reset: false,
          headersTimeout: 0,
          bodyTimeout: 0,
        } as Dispatcher.DispatchOptions,
        this,
      );
    } catch (error) {
      this.onResponseError(undefined, error);
    }
  }

  /** Gives the exchange up: the caller gets the error, and the connection is cut at once. */
  cut(error: unknown): void {
    if (this.#ended) return;
    const controller = this.#controller;
    this.#fail(error);
    // Not the error itself, which may be anything that a source threw: undici looks into it.
    if (controller) controller.abort(new BitsAbortError('The request was given up'));
    else this.#place.onUnconnected(this);
  }

  /** Another request waits for this one's connection. */
  hurry(): void {
    if (this.#drainTimer !== undefined) this.#limitDrain(DRAIN_GRACE_MS);
  }

  onRequestStart(controller: Controller): void {
    if (this.#ended) {
      controller.abort(new BitsAbortError('The request was given up'));
      return;
    }
    this.#controller = controller;
    this.#deadline.run(this.#body ? 'send' : 'answer');
  }

  onResponseStart(controller: Controller, status: number, headers: object): void {
    if (this.#ended || status < 200) return;
    const received = (controller.rawHeaders ?? headers) as ReceivedHeaders;
    this.#connection = this.#place.watches ? currentConnection() : undefined;
    const connection: WireConnection | undefined = this.#connection;
    const answer = answerHeaders(received);
    // Over TLS, Node tells a turn later that bytes have left: the answer to them may be there before.
    if (status < 300) this.#sending?.received();
    const early = this.#sending !== undefined && !this.#sending.allSent;
    this.#deadline.end();
    if (early) {
      this.#sourceEnded = true;
      this.#sending?.stop();
    }
    if (this.#options.answerBody === 'stream') {
      this.#answerBody = this.#streamed(controller);
      this.#response = { status, headers: answer, connection, body: this.#answerBody };
      this.#hand();
      return;
    }
    this.#response = { status, headers: answer, connection, body: EMPTY_BODY };
    this.#hand();
    if (early || !isWorthDraining(status, answer)) this.#leave();
    // An empty body has ended within this turn.
    else if (!isEmpty(status, answer)) this.#limitDrain(DRAIN_MS);
  }

  onResponseData(_controller: Controller, chunk: Uint8Array): void {
    if (this.#ended) return;
    if (this.#answerBody) {
      this.#answerBody.push(chunk);
      return;
    }
    this.#drainedBytes += chunk.byteLength;
    if (this.#drainedBytes > DRAIN_BYTES) this.#leave();
  }

  onResponseEnd(): void {
    if (this.#ended) return;
    const { failure } = this.#connection ?? {};
    // undici takes a reset for the end of such a body, on some systems rightly; nobody can tell.
    if (failure !== undefined && endsWithConnection(this.#response?.headers ?? {})) {
      this.onResponseError(undefined, failure);
      return;
    }
    this.#answerBody?.end();
    this.#answerEnded = true;
    if (this.#sourceEnded) this.#release();
  }

  onResponseError(_controller: unknown, error: unknown): void {
    this.#fail(toTransportFailure(error, this.#head.url.host));
  }

  /** Resolves as soon as both the answer is there and the source has proved good. */
  #hand(): void {
    if (this.#response && this.#sourceEnded) this.#resolve(this.#response);
  }

  #streamed(controller: Controller): AnswerBody {
    this.#throttle = this.#place.watches ? currentThrottle() : undefined;
    const brake = this.#throttle ?? controller;
    return new AnswerBody({
      onWait: () => this.#deadline.run('answer-body'),
      onBusy: () => this.#deadline.end(),
      onLeave: () => this.#leave(),
      pause: () => brake.pause(),
      resume: () => brake.resume(),
    });
  }

  /** Ends the exchange without an error: its answer is handed out. */
  #leave(): void {
    if (this.#ended) return;
    this.#release();
    this.#controller?.abort(new BitsAbortError('The rest of the answer is not wanted'));
  }

  #limitDrain(limitMs: number): void {
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(() => this.#leave(), limitMs);
    // Once its answer is handed out, no process should live on for the sake of a connection.
    this.#drainTimer.unref();
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#release();
    this.#reject(error);
    this.#answerBody?.fail(error);
  }

  #release(): void {
    this.#ended = true;
    this.#deadline.end();
    clearTimeout(this.#drainTimer);
    this.#drainTimer = undefined;
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#options.abortSwitch?.unlisten(this.#onAbort);
    this.#sending?.release();
    this.#throttle?.release();
    this.#place.onEnd(this);
  }
}
