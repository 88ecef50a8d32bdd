import type { BitsError } from '../../errors.js';
import type { WireHeaders } from '../../protocol/packets.js';
import type { WireConnection } from '../transport.js';
import type { Challenge } from './challenges.js';

/** The request that is to be authorized. */
export interface AuthRequest {
  /** As on the wire: `BITS_POST`, or `CONNECT` for a tunnel through a proxy. */
  readonly method: string;
  /** The request-target, exactly as it stands in the request line. */
  readonly target: string;
  /** Name of the server, or of the proxy with {@link isProxy}, without a port. */
  readonly host: string;
  readonly isProxy: boolean;
  /** Whether nobody in between can read the header, or the user said that it does not matter. */
  readonly isPrivate: boolean;
  /** Where the offers came from. */
  readonly connection?: WireConnection | undefined;
}

/**
 * What a scheme has to say.
 *
 * - `send`: the whole value of `Authorization` or `Proxy-Authorization`. `decisive` values show the
 *   credentials: when such a value is answered by a challenge, the credentials are refused.
 * - `nothing`: the request goes as it is.
 * - `refused`: the peer has seen the credentials and does not take them.
 * - `unusable`: the peer's offer leads nowhere, and the credentials were not judged by it.
 */
export type AuthStep =
  | { readonly type: 'send'; readonly value: string; readonly decisive: boolean }
  | { readonly type: 'nothing' }
  | { readonly type: 'refused' }
  | { readonly type: 'unusable'; readonly reason: BitsError };

/** One run of a scheme: with one connection if the scheme is bound to it, else with one host. */
export interface AuthState {
  /**
   * @param offers what the peer answered the last request with; undefined when it was not asked.
   * @throws BITS_ERR_AUTH when the scheme cannot go on and no other should be tried.
   */
  authorize(request: AuthRequest, offers: readonly Challenge[] | undefined): Promise<AuthStep>;
  /** The peer took the last request. Header names in lower case. */
  accepted(headers: WireHeaders): void;
}

/** A way to prove who one is, the same for servers and proxies. */
export interface AuthScheme {
  /** As users write it in options. */
  readonly name: string;
  /** As messages call it. */
  readonly title: string;
  /** Whether what is authenticated is the connection and not each request. */
  readonly connectionBound: boolean;
  /** Whether it speaks before it is asked. */
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
  // The same proof as NTLM, but a peer that offers both is surer to take it under its own name.
  ntlmInNegotiate: 45,
  digestSha256: 40,
  digestMd5: 30,
  basic: 10,
} as const;

export const NOTHING: AuthStep = { type: 'nothing' };

export const REFUSED: AuthStep = { type: 'refused' };
