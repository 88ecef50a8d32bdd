import type { BitsError } from '../../errors.js';
import type { WireHeaders } from '../../protocol/packets.js';
import type { Challenge } from './challenges.js';

/** Who requires authentication: a server (401) or a proxy (407). */
export interface Peer {
  readonly isProxy: boolean;
  /** As messages begin with it: `web.example:8080`, `The proxy cache.example:3128`. */
  readonly title: string;
  /** Without a port: tickets and proofs are made for this name. */
  readonly hostname: string;
  /** Whether it is reached by TLS, to whose certificate a proof is bound. */
  readonly isSecure: boolean;
  /** Whether nobody on the way can read a header, or the user has accepted that somebody can. */
  readonly isPrivate: boolean;
}

/** The request that is to be authorized. */
export interface AuthRequest {
  readonly peer: Peer;
  /** As on the wire: `BITS_POST`, or `CONNECT` for a tunnel through a proxy. */
  readonly method: string;
  /** The request-target, exactly as it stands in the request line. */
  readonly target: string;
  /** Of the peer that sent the challenge, in DER. */
  readonly peerCertificate?: Uint8Array | undefined;
  /** Ends the wait for whatever the caller's functions give. */
  readonly signal: AbortSignal | undefined;
}

/**
 * What a scheme does with a request.
 *
 * - `send`: the whole value of `Authorization` or `Proxy-Authorization`. `secret` is the secret that
 *   the value shows or proves: when the answer is a challenge, that secret is refused.
 * - `nothing`: the request goes as it is.
 * - `refused`: the peer has seen the credentials and does not accept them.
 * - `unusable`: the peer's offer cannot be answered, and the credentials were not judged by it.
 */
export type AuthStep =
  | { readonly type: 'send'; readonly value: string; readonly secret?: string }
  | { readonly type: 'nothing' }
  | { readonly type: 'refused' }
  | { readonly type: 'unusable'; readonly reason: BitsError };

/** One run of a scheme: on one connection if the scheme is bound to it, else with one host. */
export interface AuthState {
  /**
   * @param offers of the answer to the request before; undefined when there was no challenge.
   * @throws BITS_ERR_AUTH when the scheme cannot continue and no other should be tried.
   */
  authorize(request: AuthRequest, offers: readonly Challenge[] | undefined): Promise<AuthStep>;
  /** The peer accepted the last request. Header names in lower case. */
  accepted(headers: WireHeaders): void;
}

/** A way to authenticate, the same for servers and proxies. */
export interface AuthScheme {
  /** As users write it in options. */
  readonly name: string;
  /** As messages call it. */
  readonly title: string;
  /** Whether it authenticates the connection and not each request. */
  readonly connectionBound: boolean;
  /** Whether it is used before there is a challenge. */
  readonly eager: boolean;
  /** How much an answer to the offers is worth; undefined when there is none. */
  strength(offers: readonly Challenge[]): number | undefined;
  begin(): AuthState;
}

/** Values of {@link AuthScheme.strength}. */
export const STRENGTH = {
  asked: 100,
  kerberos: 60,
  ntlm: 50,
  // The same proof as NTLM, but a peer that offers both is surer to accept it under its own name.
  ntlmInNegotiate: 45,
  digestSha256: 40,
  digestMd5: 30,
  basic: 10,
  // Only to say why it is not used.
  legacyDigest: 5,
} as const;

export const NOTHING: AuthStep = { type: 'nothing' };

export const REFUSED: AuthStep = { type: 'refused' };
