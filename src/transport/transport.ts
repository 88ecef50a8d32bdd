import type { WireHeaders } from '../protocol/packets.js';

/** The bytes of a request. */
export interface WireBody {
  readonly byteLength: number;
  /**
   * May be called again, when the transport has to send the body again. A piece is valid only until
   * the next one is requested.
   */
  pieces(): AsyncIterable<Uint8Array>;
}

/** One request, ready to be sent. */
export interface WireRequest {
  readonly method: string;
  readonly url: URL;
  /** Without `Content-Length`, `Host` and `Connection`, which the transport sets. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: `Content-Length: 0` for `BITS_POST` and POST, none for GET. */
  readonly body?: WireBody | undefined;
}

/** How one request is sent, and what it may take. */
export interface SendOptions {
  /** Gives the request up at once, on the wire too. */
  readonly signal?: AbortSignal | undefined;
  /** Longest time in which no byte of the request moves, connecting included; in milliseconds. */
  readonly stallTimeoutMs: number;
  /**
   * Longest time from the last byte sent to the headers of the answer, and between pieces of its
   * body; in milliseconds.
   */
  readonly answerTimeoutMs: number;
  /**
   * Requests with the same kind are answered in about the same time: a wait that is much longer than
   * those before may end before `answerTimeoutMs`. Leave it out where the server may take its time.
   */
  readonly kind?: string | undefined;
  /** `discard`: resolve on the head, and drain the body within bounds; `stream`: hand it over. */
  readonly answerBody: 'discard' | 'stream';
  /** Called with the number of body bytes handed to the network since the last call. */
  readonly onBytesSent?: ((bytes: number) => void) | undefined;
}

/** The connection that an answer came over: the same object for each answer over it. */
export interface WireConnection {
  /** Whether another request can be sent over it, as far as is known. */
  readonly isOpen: boolean;
  /** Of the server, in DER; TLS only. */
  readonly peerCertificate: Uint8Array | undefined;
  /**
   * Closes it, so that no other request uses it: for when an answer cannot be the one to its request.
   * Absent when the transport cannot.
   */
  close?(): void;
}

/** The answer to one request, of any status. */
export interface WireResponse {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Absent when the transport does not know it. */
  readonly connection?: WireConnection | undefined;
  /** Empty with `discard`. Leaving the iteration early releases the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Something that a transport cannot do; the user gets it as a warning. */
export interface TransportLimitation {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
}

/**
 * The whole HTTP seam: one packet out, one answer back.
 *
 * Rejects with a `BitsError` (`BITS_ERR_TRANSPORT`, `BITS_ERR_TIMEOUT`, `BITS_ERR_ABORTED`; before
 * sending `BITS_ERR_ARGUMENT`, after `close` `BITS_ERR_STATE`, for a body of another length
 * `BITS_ERR_SOURCE`) or with what `pieces` threw, and never for a status.
 */
export interface Transport {
  send(request: WireRequest, options: SendOptions): Promise<WireResponse>;
  /**
   * Whether it authenticates by itself, as with a client certificate: a server then cannot lead the
   * upload to a host that is not in `trustedHosts`. @default false
   */
  readonly hasCredentials?: boolean;
  /**
   * Whether it may send a request again by itself, so that the server gets it twice and nobody knows,
   * as Chromium does. `onUncertainFragment: 'restart'` is then refused. @default false
   */
  readonly mayResend?: boolean;
  readonly limitations: readonly TransportLimitation[];
  /** Largest request body that it can send in reasonable memory; absent: no limit. */
  readonly maxBodyBytes?: number;
  /** Closes connections without a request, so that the next request goes over a new one. */
  dropConnections?(): void;
  /** Releases every socket; afterwards nothing keeps the process alive. */
  close(): Promise<void>;
}
