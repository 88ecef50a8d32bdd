import { unlessAborted } from '../../common/abort.js';
import { isHeaderValue } from '../../common/header-fields.js';
import { authSetupError } from './auth-error.js';
import type { Challenge } from './challenges.js';
import { askCaller } from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  REFUSED,
  STRENGTH,
} from './scheme.js';

export interface AuthorizationContext {
  /** As on the wire. */
  readonly method: string;
  /** The request-target, exactly as it stands in the request line. */
  readonly target: string;
  readonly host: string;
  readonly isProxy: boolean;
  /** Of the answer to the last request; undefined when that was accepted, and before the first one. */
  readonly challenges: readonly Challenge[] | undefined;
}

/**
 * A scheme of the caller's own: returns the value of the `Authorization` header, or undefined to send
 * none; undefined in answer to challenges means that there is no more to try.
 */
export type AuthorizationProvider = (
  context: AuthorizationContext,
) => string | undefined | Promise<string | undefined>;

/** Enough for any known handshake. */
const MAX_ANSWERS = 4;

/** Wraps the caller's own function, which is called before each request and for each challenge. */
export function providerScheme(provider: AuthorizationProvider): AuthScheme {
  return {
    name: 'custom',
    title: "the caller's authorize function",
    connectionBound: false,
    eager: true,
    strength: () => STRENGTH.asked,
    begin: () => new ProviderState(provider),
  };
}

class ProviderState implements AuthState {
  readonly #provider: AuthorizationProvider;
  #answers = 0;
  #refused: string | undefined;

  constructor(provider: AuthorizationProvider) {
    this.#provider = provider;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (offers !== undefined && ++this.#answers > MAX_ANSWERS) return REFUSED;
    const value = await this.#ask(request, offers);
    if (value === undefined) return offers === undefined ? NOTHING : REFUSED;
    if (offers !== undefined && value === this.#refused) return REFUSED;
    this.#refused = value;
    return { type: 'send', value, secret: value };
  }

  accepted(): void {
    this.#answers = 0;
  }

  async #ask(
    request: AuthRequest,
    challenges: readonly Challenge[] | undefined,
  ): Promise<string | undefined> {
    const { method, target, peer, signal } = request;
    const { hostname: host, isProxy } = peer;
    const context = { method, target, host, isProxy, challenges };
    const value: unknown = await askCaller('authorize function', () =>
      unlessAborted(Promise.resolve(this.#provider(context)), signal),
    );
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '' || !isHeaderValue(value)) {
      throw authSetupError('The authorize function returned something that is not a header value');
    }
    return value;
  }
}
