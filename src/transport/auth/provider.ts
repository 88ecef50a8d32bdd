import { isBitsError } from '../../errors.js';
import { authSetupError } from './auth-error.js';
import type { Challenge } from './challenges.js';
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
  /** What the last request was answered with; undefined before a request that nobody refused. */
  readonly challenges: readonly Challenge[] | undefined;
}

/**
 * A scheme of the caller's own: gives the value of the `Authorization` header, or undefined to send
 * none; undefined in answer to challenges gives up.
 */
export type AuthorizationProvider = (
  context: AuthorizationContext,
) => string | undefined | Promise<string | undefined>;

/** Enough for any known handshake. */
const MAX_ANSWERS = 4;

const HEADER_VALUE = /^[\x20-\x7e\x80-\xff]+$/;

/** Wraps the caller's own function; it is asked before each request and for each challenge. */
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
    return { type: 'send', value, decisive: true };
  }

  accepted(): void {
    this.#answers = 0;
  }

  async #ask(
    request: AuthRequest,
    challenges: readonly Challenge[] | undefined,
  ): Promise<string | undefined> {
    const { method, target, host, isProxy } = request;
    let value: unknown;
    try {
      value = await this.#provider({ method, target, host, isProxy, challenges });
    } catch (error) {
      if (isBitsError(error)) throw error;
      throw authSetupError('The authorize function failed: see the cause', { cause: error });
    }
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || !HEADER_VALUE.test(value)) {
      throw authSetupError('The authorize function gave something that is no header value');
    }
    return value;
  }
}
