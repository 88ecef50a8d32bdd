import { BitsArgumentError, BitsError } from '../../errors.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport.js';
import { authSetupError } from './auth-error.js';
import { type AuthChallenged, AuthSpace } from './auth-space.js';
import { parseChallenges } from './challenges.js';
import { drain } from './drain.js';
import { pingFor, pingOptions } from './handshake-ping.js';
import { type AuthMeans, type AuthOptions, authMeans } from './options.js';
import { isPrivateChannel } from './private-channel.js';
import type { AuthRequest } from './scheme.js';
import { Turn } from './turn.js';

export interface AuthenticationOptions {
  /** How to answer 401. */
  readonly server: AuthOptions;
  /** Lets Basic and bearer tokens go over http to other machines. @default false */
  readonly allowInsecureAuth?: boolean | undefined;
  /** Whether a server may be told the credentials, or a proof of them. */
  readonly mayAuthenticate: (url: URL) => boolean;
}

/** A transport that proves to servers who the user is. */
export interface AuthenticatingTransport extends Transport {
  /**
   * Lets credentials that a server refused be tried once more; without it, each later request fails
   * at once, for more attempts could lock the account.
   */
  forgetRefusals(): void;
}

/** Enough for a handshake, a change of scheme and a lost connection. */
const MAX_ATTEMPTS = 12;

interface Space {
  readonly auth: AuthSpace;
  readonly turn: Turn;
}

class Authenticating implements AuthenticatingTransport {
  readonly limitations: Transport['limitations'];
  readonly maxBodyBytes?: number;
  readonly #inner: Transport;
  readonly #means: AuthMeans;
  readonly #options: AuthenticationOptions;
  readonly #spaces = new Map<string, Space>();

  constructor(inner: Transport, options: AuthenticationOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#means = authMeans(options.server);
    this.limitations = inner.limitations;
    if (inner.maxBodyBytes !== undefined) this.maxBodyBytes = inner.maxBodyBytes;
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    if (hasAuthorization(request)) return this.#inner.send(request, options);
    if (!this.#options.mayAuthenticate(request.url)) return this.#sendWithout(request, options);
    const space = this.#spaceOf(request.url);
    const { signal } = options;
    if (space.auth.needsTurn) {
      return space.turn.take(signal, () => this.#converse(space, request, options, undefined));
    }
    const first = await this.#attempt(space, request, options, undefined);
    if ('response' in first) return first.response;
    return space.turn.take(signal, () => this.#converse(space, request, options, first.challenged));
  }

  forgetRefusals(): void {
    for (const { auth } of this.#spaces.values()) auth.forgetRefusal();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #spaceOf(url: URL): Space {
    const known = this.#spaces.get(url.origin);
    if (known) return known;
    const space = { auth: new AuthSpace(this.#means, url.host, false), turn: new Turn() };
    this.#spaces.set(url.origin, space);
    return space;
  }

  /** Sends the request, and again in answer to challenges, until it is taken or refused. */
  async #converse(
    space: Space,
    request: WireRequest,
    options: SendOptions,
    challengedBefore: AuthChallenged | undefined,
  ): Promise<WireResponse> {
    const hasBody = (request.body?.byteLength ?? 0) > 0;
    let challenged = challengedBefore;
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      if (challenged !== undefined) await space.auth.challenged(challenged);
      // A handshake takes several requests: it is paid with Pings, not with fragments (<9>).
      const isPing = hasBody && space.auth.needsHandshake;
      const attempt = isPing
        ? await this.#attempt(space, pingFor(request), pingOptions(options), challenged)
        : await this.#attempt(space, request, options, challenged);
      if ('challenged' in attempt) challenged = attempt.challenged;
      else if (isPing) challenged = undefined;
      else return attempt.response;
    }
    throw authSetupError(
      `The authentication by ${request.url.host} came to no end: check that neither the server nor a proxy in between closes the connection after each answer, as NTLM and Negotiate need it kept open`,
      { retryable: true },
    );
  }

  async #attempt(
    { auth }: Space,
    request: WireRequest,
    options: SendOptions,
    challenged: AuthChallenged | undefined,
  ): Promise<{ readonly response: WireResponse } | { readonly challenged: AuthChallenged }> {
    const attempt = await auth.prepare(this.#authRequest(request), challenged);
    const { value } = attempt;
    const headers =
      value === undefined ? request.headers : { ...request.headers, Authorization: value };
    const response = await this.#inner.send({ ...request, headers }, options);
    const isAccepted = response.status !== 401;
    if (!isAccepted) await drain(response);
    auth.answered(attempt, response, isAccepted);
    if (isAccepted) return { response };
    const offers = parseChallenges(response.headers['www-authenticate']);
    const { connection } = response;
    return { challenged: { attempt, offers, headers: response.headers, connection } };
  }

  #authRequest({ method, url }: WireRequest): AuthRequest {
    return {
      method,
      target: `${url.pathname}${url.search}`,
      host: url.hostname,
      isProxy: false,
      isPrivate: this.#options.allowInsecureAuth === true || isPrivateChannel(url),
    };
  }

  async #sendWithout(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const response = await this.#inner.send(request, options);
    if (response.status !== 401) return response;
    await drain(response);
    throw new BitsError(
      'BITS_ERR_UNTRUSTED_HOST',
      `${request.url.host} asks for authentication and is not the host that the credentials are for: list it in trustedHosts if it may have them`,
    );
  }
}

function hasAuthorization({ headers }: WireRequest): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'authorization');
}

/**
 * Makes a transport that answers 401 and sends the same request again, its body included.
 *
 * Besides what {@link Transport.send} says, `send` rejects with BITS_ERR_AUTH when the credentials
 * are refused or no offer of the server can be answered, and with BITS_ERR_UNTRUSTED_HOST when
 * another host asks for them. Requests that have an `Authorization` header already are left alone.
 * @throws BITS_ERR_ARGUMENT for options that cannot work.
 */
export function withAuthentication(
  inner: Transport,
  options: AuthenticationOptions,
): AuthenticatingTransport {
  if (typeof options.mayAuthenticate !== 'function') {
    throw new BitsArgumentError('mayAuthenticate must be a function');
  }
  return new Authenticating(inner, options);
}
