import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Client, Dispatcher } from 'undici';
import { BITS_METHOD } from '../protocol/constants.js';
import { unacknowledgedBytes } from './send-queue.js';
import { isLocalAddress, resetSocket } from './sockets.js';
import type { WireConnection } from './transport.js';

/** How long an idle connection is kept: a pause of the source should not cost it. */
const KEEP_ALIVE_MS = 120_000;

/** Of the header fields of an answer, and of everything that comes before its status line. */
const MAX_HEAD_BYTES = 16 * 1024;

// As it is now: a test suite that replaces timers would take ours along.
const startImmediate = setImmediate;

const CR = 0x0d;
const LF = 0x0a;
const HEAD_END = '\r\n\r\n';
const NO_BYTES: Buffer = Buffer.alloc(0);
const INTERIM = /^HTTP\/1\.[01] 1(?!01)\d\d[ \r]/;
const SWITCHING = /^HTTP\/1\.[01] 101[ \r]/;
const BARE_SWITCHING: Buffer = Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n');
const STATUS_BYTES = 'HTTP/1.1 200 '.length;

type Write = (
  chunk: string | Uint8Array,
  encoding?: BufferEncoding,
  done?: (error?: Error | null) => void,
) => boolean;

/**
 * A socket, and the undici `Client` that speaks HTTP/1.1 over it, one request at a time.
 *
 * The socket is patched here and nowhere else, for what undici does not do:
 * - `Content-Length: 0` is put back where undici leaves it out;
 * - the sender of a body is told when the operating system has taken its bytes;
 * - interim answers (1xx) are removed: undici ends the connection for a `100 Continue` that was not
 *   asked for, as older IIS sends it;
 * - 101 is passed on without its header fields: undici takes a switch of protocols that it did not ask
 *   for as a broken connection;
 * - bytes that arrive while no request is on the wire end the connection;
 * - reading can be paused: undici's own pause fails an assertion when the connection then ends.
 */
export class Connection implements WireConnection {
  /** Where it leads: requests to the same destination may use it. */
  readonly destination: string;
  readonly #socket: Socket;
  readonly #client: Client;
  readonly #localAddress: string | undefined;
  #isBusy = false;
  #wasUsed = false;
  /** Of the request that has the connection. */
  #onBytesSent: ((bytes: number) => void) | undefined;
  /** The head of the request has been written, and its answer is not over. */
  #isAsked = false;
  #isBeforeHead = false;
  /** The start of what may be an interim answer. */
  #held = NO_BYTES;
  #bytesBeforeHead = 0;
  #hasAnswered = false;
  #isPaused = false;
  #failure: Error | undefined;

  /** @param socket is connected; its TLS, if any, is established. */
  constructor(socket: Socket, destination: string, UndiciClient: typeof Client) {
    this.destination = destination;
    this.#socket = socket;
    const { localAddress } = socket;
    // Not every system lists all of its addresses.
    this.#localAddress = localAddress && isLocalAddress(localAddress) ? localAddress : undefined;
    this.#patch(socket);
    let isHandedOver = false;
    // The origin shows in diagnostics only: each request names its host, and TLS is below undici.
    this.#client = new UndiciClient('http://localhost', {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEAD_BYTES,
      connect: (_options, callback) => {
        const isFirst = !isHandedOver;
        isHandedOver = true;
        // Not at once: undici overlooks a connection that it gets within its own call.
        queueMicrotask(() => {
          if (isFirst) callback(null, socket);
          // Not with the socket's own error: after one of undici's own it would connect again.
          else callback(coded('ECONNRESET', 'The connection has ended', this.#failure), null);
        });
      },
    });
  }

  get isOpen(): boolean {
    const socket = this.#socket;
    return !socket.destroyed && socket.writable && !socket.readableEnded;
  }

  get isIdle(): boolean {
    return this.isOpen && !this.#isBusy;
  }

  /** Whether an earlier request went over it. */
  get wasUsed(): boolean {
    return this.#wasUsed;
  }

  /** Whether anything has come since the request was sent. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** What it broke with; undefined after an orderly end. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  get peerCertificate(): Uint8Array | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket.getPeerCertificate().raw : undefined;
  }

  /**
   * Sends one request, and keeps the connection busy until {@link release}.
   * @param onBytesSent called when the operating system has a copy of so many bytes of the body
   */
  dispatch(
    request: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    onBytesSent: (bytes: number) => void,
  ): void {
    this.#isBusy = true;
    this.#hasAnswered = false;
    this.#onBytesSent = onBytesSent;
    // undici would close the connection after each body of a method that it does not know.
    const options = { ...request, reset: false };
    // undici waits for a turn of the event loop before it uses a connection again, so that an end
    // that came with the last answer is seen. Within that turn it would not be.
    if (this.#wasUsed) startImmediate(() => this.#client.dispatch(options, handler));
    else this.#client.dispatch(options, handler);
  }

  /** The answer has been read to its end: another request may use the connection. */
  release(): void {
    this.#isBusy = false;
    this.#wasUsed = true;
    this.#isAsked = false;
    this.#isPaused = false;
    this.#onBytesSent = undefined;
  }

  /** Stops reading, even of the end of the connection. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.emit('readable');
  }

  /** The address that this machine had at the other end, when it has it no more. */
  lostAddress(): string | undefined {
    const address = this.#localAddress;
    return address === undefined || isLocalAddress(address) ? undefined : address;
  }

  /** As {@link unacknowledgedBytes}, of this connection. */
  unacknowledgedBytes(): Promise<number | undefined> {
    return unacknowledgedBytes(this.#socket);
  }

  /**
   * Gives the connection up: the system forgets what it still had to send, which otherwise would
   * arrive after what is sent next.
   */
  reset(): void {
    resetSocket(this.#socket);
  }

  /** Closes the connection in order; resolves when the socket is closed. */
  async close(): Promise<void> {
    const socket = this.#socket;
    if (socket.closed) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.destroy();
    });
  }

  #patch(socket: Socket): void {
    // Before undici hears of the error, which it may take for the end of an answer.
    socket.prependListener('error', (error: Error) => {
      this.#failure ??= error;
    });

    const write = socket.write.bind(socket) as Write;
    const patchedWrite: Write = (chunk, encoding) => {
      // undici writes the head of a request as one string, and the chunks of a body as it gets them.
      if (typeof chunk === 'string') {
        this.#isAsked = true;
        this.#isBeforeHead = true;
        this.#bytesBeforeHead = 0;
        return write(withContentLength(chunk), encoding);
      }
      const onBytesSent = this.#onBytesSent;
      return write(chunk, undefined, (error) => {
        if (!error) onBytesSent?.(chunk.byteLength);
      });
    };
    socket.write = patchedWrite as Socket['write'];

    const read = socket.read.bind(socket);
    socket.read = (size?: number) => {
      if (this.#isPaused) return null;
      const bytes = read(size) as Buffer | null;
      this.#hasAnswered ||= bytes !== null;
      if (bytes === null || (this.#isAsked && !this.#isBeforeHead)) return bytes;
      if (this.#isAsked) return this.#withoutInterim(bytes);
      const isBanner = !this.#wasUsed && !bytes.toString('latin1').startsWith('HTTP/');
      socket.destroy(
        isBanner
          ? coded('ERR_INVALID_HTTP_RESPONSE', 'Something that is not HTTP came first')
          : coded('UNASKED_BYTES', 'Bytes came before a request was sent'),
      );
      return null;
    };
  }

  /** @returns null until the first line of an answer that is not an interim one is complete */
  #withoutInterim(chunk: Buffer): Buffer | null {
    let bytes = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    const drop = (count: number): void => {
      bytes = bytes.subarray(count);
      this.#bytesBeforeHead += count;
    };
    for (;;) {
      while (bytes[0] === CR || bytes[0] === LF) drop(1);
      const start = bytes.toString('latin1', 0, STATUS_BYTES);
      const isInterim = INTERIM.test(start);
      const end = isInterim ? bytes.indexOf(HEAD_END) : bytes.indexOf(LF);
      if (end < 0 && 'HTTP/1.'.startsWith(start.slice(0, 7))) break;
      if (!isInterim) {
        // Whether that is HTTP is for undici to say.
        this.#held = NO_BYTES;
        this.#isBeforeHead = false;
        return SWITCHING.test(start) ? BARE_SWITCHING : bytes;
      }
      drop(end + HEAD_END.length);
    }
    this.#held = bytes;
    if (this.#bytesBeforeHead + bytes.length > MAX_HEAD_BYTES) {
      this.#socket.destroy(coded('HEAD_TOO_LARGE', 'Too much came before the answer'));
    }
    return null;
  }
}

/**
 * Puts back the `Content-Length: 0` that undici leaves out for methods of which it does not know that
 * they have a body; IIS answers 400 without it ([MC-BUP] §2.2.1.1, <23>).
 */
function withContentLength(head: string): string {
  if (!head.startsWith(`${BITS_METHOD} `)) return head;
  // In lower case, as undici writes it: it never writes the one that it is given.
  if (head.includes('\r\ncontent-length: ')) return head;
  return `${head.slice(0, -2)}content-length: 0\r\n\r\n`;
}

function coded(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code });
}
