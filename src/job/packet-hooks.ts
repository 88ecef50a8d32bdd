import type { PacketType } from '../protocol/packets.js';

/** A packet of the protocol, or the GET for the reply. */
export type PacketKind = PacketType | 'get-reply';

/** One request, as hooks and diagnostics see it: secrets are left out. */
export interface PacketRequest {
  readonly jobId: string;
  readonly packet: PacketKind;
  /** As on the wire. */
  readonly method: string;
  /** Without the values of a query. */
  readonly url: string;
  /** Without those of the connection; credentials are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

/** The answer to a {@link PacketRequest}, of any status. */
export interface PacketResponse extends Omit<PacketRequest, 'headers' | 'bodyBytes'> {
  readonly status: number;
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** From the request to the head of the answer. */
  readonly elapsedMs: number;
}

/**
 * Called before each request; what it returns is sent as headers, such as a correlation id.
 *
 * The protocol's own headers and credentials cannot be set. What it throws ends the job with
 * BITS_ERR_ARGUMENT and the error as `cause`.
 */
export type RequestHook = (
  request: PacketRequest,
) => HookHeaders | undefined | void | Promise<HookHeaders | undefined> | Promise<void>;

type HookHeaders = Readonly<Record<string, string>>;

/** Called with each answer; what it throws ends the job as with {@link RequestHook}. */
export type ResponseHook = (response: PacketResponse) => void | Promise<void>;
