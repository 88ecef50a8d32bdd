/** A span of the file: `start` inclusive, `end` exclusive, out of `total` bytes. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total: number;
}

/** A request of the client ([MC-BUP] §2.2.2 to §2.2.11). */
export type RequestPacket =
  | { readonly type: 'create-session' }
  | { readonly type: 'ping' }
  | {
      readonly type: 'fragment';
      readonly sessionId: string;
      /** The name of the user's file; encoded for the wire by `encodeRequest`. */
      readonly contentName: string;
      readonly range: ContentRange;
    }
  | { readonly type: 'close-session'; readonly sessionId: string }
  | { readonly type: 'cancel-session'; readonly sessionId: string };

export type FragmentPacket = Extract<RequestPacket, { type: 'fragment' }>;

/** The packets of the protocol that a client sends. */
export type PacketType = RequestPacket['type'];

/** `BITS-Host-Id` as a host for URLs: `web3.corp.example:8080` or `[::1]:80` ([MC-BUP] §2.2.3.2). */
export type HostId = string;

/** A success answer of the server, one shape per packet ([MC-BUP] §2.2.3 to §2.2.12). */
export type Ack =
  | {
      readonly type: 'create-session';
      readonly sessionId: string;
      readonly hostId?: HostId;
      /** Without it, a client never falls back to the origin host. */
      readonly hostIdFallbackTimeoutMs?: number;
    }
  | { readonly type: 'ping' }
  | {
      readonly type: 'fragment';
      /** Offset of the first byte that the server does not have. */
      readonly nextOffset: number;
      /** As the server wrote it; resolve with `resolveReplyUrl`. */
      readonly replyUrl?: string;
    }
  | { readonly type: 'close-session' }
  | { readonly type: 'cancel-session' };

/** What decoding needs of an HTTP answer. Header names are lower case; repeated ones joined by `, `. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: WireHeaders;
}

/** Header names in lower case. */
export type WireHeaders = Readonly<Record<string, string | undefined>>;
