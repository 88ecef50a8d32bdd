import type { WireHeaders } from '../../protocol/packets.js';
import { type AuthAttempt, type AuthChallenged, AuthSpace } from '../auth/auth-space.js';
import { type Challenge, parseChallenges } from '../auth/challenges.js';
import { authMeans } from '../auth/options.js';
import { Turn } from '../auth/turn.js';
import type { WireConnection } from '../transport.js';
import { proxyAsks, proxyRefuses } from './proxy-error.js';
import { basicAuthorization, type ProxyServer } from './proxy-server.js';

/** One request as it goes to the proxy. */
export interface ProxyAttempt {
  /** Of `Proxy-Authorization`; undefined: none. */
  readonly value: string | undefined;
  readonly auth: AuthAttempt | undefined;
}

/** A 407, as it is answered. */
export interface ProxyChallenged {
  readonly attempt: ProxyAttempt;
  readonly headers: WireHeaders;
  readonly connection: WireConnection | undefined;
}

/** The request line, of which some schemes make their proof. */
export interface ProxyRequestLine {
  readonly method: string;
  readonly target: string;
}

/**
 * Proves to one proxy who one is.
 *
 * A user name and password are told at once as Basic, as curl does; when the proxy wants another
 * scheme, they are used for the strongest that it offers.
 */
export class ProxyAuth {
  readonly #proxy: ProxyServer;
  readonly #basic: string | undefined;
  readonly #space: AuthSpace | undefined;
  readonly #turn = new Turn();
  /** Whether the proxy takes Basic; undefined: it has not said. */
  #takesBasic: boolean | undefined;
  /** The proxy has taken a request. */
  #isSettled = false;
  #isRefused = false;

  constructor(proxy: ProxyServer) {
    this.#proxy = proxy;
    const { credentials, auth } = proxy;
    this.#basic = credentials && basicAuthorization(credentials);
    const options = auth ?? (credentials && { credentials, schemes: OTHER_SCHEMES });
    this.#space = options && new AuthSpace(authMeans(options), `The proxy ${proxy.host}`, true);
  }

  /** Whether a request with a body would go for nothing, over a connection that is yet unproven. */
  get needsHandshake(): boolean {
    return this.#space?.needsHandshake === true;
  }

  /** Lets one request after the other in, while two at once could lock an account or mix up. */
  takeTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const isFree = this.#space === undefined || (this.#isSettled && !this.#space.needsTurn);
    return isFree ? work() : this.#turn.take(signal, work);
  }

  /**
   * Takes note of a challenge, so that {@link needsHandshake} is right for what comes next.
   *
   * @throws BITS_ERR_AUTH when the credentials are missing or refused, or no offer can be answered.
   */
  async challenged(challenged: ProxyChallenged): Promise<void> {
    const space = this.#space;
    if (space === undefined) throw proxyAsks(this.#proxy, challenged.headers);
    await space.challenged(this.#spaceChallenged(challenged, this.#offers(challenged)));
  }

  /**
   * Finds what to say with a request.
   *
   * @throws BITS_ERR_AUTH when the credentials are missing or refused, or no offer can be answered.
   */
  async prepare(
    line: ProxyRequestLine,
    challenged: ProxyChallenged | undefined,
  ): Promise<ProxyAttempt> {
    if (this.#isRefused) throw proxyRefuses(this.#proxy);
    const space = this.#space;
    if (space === undefined) {
      if (challenged) throw proxyAsks(this.#proxy, challenged.headers);
      return { value: undefined, auth: undefined };
    }
    const tellsBasic = this.#basic !== undefined && this.#takesBasic !== false;
    if (tellsBasic && challenged === undefined) return { value: this.#basic, auth: undefined };
    const { hostname } = this.#proxy;
    const request = { ...line, host: hostname, isProxy: true, isPrivate: true };
    const offers = challenged && this.#offers(challenged);
    const auth = await space.prepare(request, offers && this.#spaceChallenged(challenged, offers));
    return { value: auth.value, auth };
  }

  /** Takes note of an answer; must be told of each, and before the next {@link prepare}. */
  answered(
    { value, auth }: ProxyAttempt,
    headers: WireHeaders,
    connection: WireConnection | undefined,
    isAccepted: boolean,
  ): void {
    this.#isSettled = isAccepted;
    if (auth) this.#space?.answered(auth, { headers, connection }, isAccepted);
    else if (value !== undefined) this.#takesBasic = isAccepted;
  }

  /** What is left to try after Basic. */
  #offers({ attempt, headers }: ProxyChallenged): readonly Challenge[] {
    const offers = parseChallenges(headers['proxy-authenticate']);
    if (attempt.value === undefined || attempt.auth !== undefined) return offers;
    const others = offers.filter(({ scheme }) => scheme !== 'basic');
    if (others.length < offers.length && others.length === 0) {
      this.#isRefused = true;
      throw proxyRefuses(this.#proxy);
    }
    return others;
  }

  #spaceChallenged(
    { attempt, headers, connection }: ProxyChallenged,
    offers: readonly Challenge[],
  ): AuthChallenged {
    const none = { value: undefined, run: undefined, expected: undefined, proofs: 0 };
    return { attempt: attempt.auth ?? none, offers, headers, connection };
  }
}

const OTHER_SCHEMES = ['negotiate', 'ntlm', 'digest'] as const;
