import type { WireHeaders } from '../protocol/packets.js';

/** Bytes of a request; `pieces` may be called again when the transport must send them again. */
export interface WireBody {
  readonly byteLength: number;
  /** A piece is valid only until the next one is asked for. */
  pieces(): AsyncIterable<Uint8Array>;
}

export interface WireRequest {
  readonly method: string;
  readonly url: URL;
  /** Without `Content-Length`, `Host` and `Connection`: those are the transport's. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: `Content-Length: 0` for `BITS_POST` and POST, none for GET. */
  readonly body?: WireBody;
}

export interface SendOptions {
  /** Cuts the request at once, on the wire too. */
  readonly signal?: AbortSignal | undefined;
  /** Longest time in which no byte of the request moves, connecting included. */
  readonly stallTimeoutMs: number;
  /** Longest time from the last byte sent to the headers of the answer, and between pieces of its body. */
  readonly answerTimeoutMs: number;
  /** `discard`: resolve on the head and drain within bounds; `stream`: hand the body over. */
  readonly answerBody: 'discard' | 'stream';
  /** Called with the number of body bytes handed to the network since the last call. */
  readonly onBytesSent?: ((bytes: number) => void) | undefined;
}

/** The connection that an answer came over: the same object for each answer on it. */
export interface WireConnection {
  /** Whether another request can go over it, as far as is known. */
  readonly isOpen: boolean;
  /** Of the server, in DER; TLS only. */
  readonly peerCertificate: Uint8Array | undefined;
}

export interface WireResponse {
  readonly status: number;
  readonly headers: WireHeaders;
  /** Absent where the transport does not know or has no say in it. */
  readonly connection?: WireConnection | undefined;
  /** Empty with `discard`. Leaving the iteration early releases the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Something that a transport cannot do, told to the user as a warning. */
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
  readonly limitations: readonly TransportLimitation[];
  /** Largest request body this transport can send in reasonable memory; absent: no limit. */
  readonly maxBodyBytes?: number;
  /** Releases every socket; afterwards nothing keeps the process alive. */
  close(): Promise<void>;
}
