import { authSetupError, unencrypted } from './auth-error.js';
import { type Challenge, offerOf } from './challenges.js';
import { type CredentialsSource, plainUserName, secretOf } from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  REFUSED,
  STRENGTH,
} from './scheme.js';

/**
 * `Basic` (RFC 7617) in UTF-8, only to those who may read the password.
 *
 * @param eager whether it is sent before there is a challenge.
 */
export function basicScheme(credentials: CredentialsSource, eager = false): AuthScheme {
  return {
    name: 'basic',
    title: 'Basic',
    connectionBound: false,
    eager,
    strength: (offers) => (offerOf(offers, 'basic') ? STRENGTH.basic : undefined),
    begin: () => new BasicState(credentials, eager),
  };
}

class BasicState implements AuthState {
  readonly #credentials: CredentialsSource;
  readonly #eager: boolean;
  #isSent = false;

  constructor(credentials: CredentialsSource, eager: boolean) {
    this.#credentials = credentials;
    this.#eager = eager;
  }

  async authorize(
    { peer, signal }: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (offers === undefined && !this.#isSent && !this.#eager) return NOTHING;
    // The same value again could only lock the account.
    if (offers !== undefined && this.#isSent) return REFUSED;
    if (!peer.isPrivate) {
      const what = `${peer.title} requires Basic authentication, which sends the password`;
      return { type: 'unusable', reason: unencrypted(what) };
    }
    const credentials = await this.#credentials.get(signal);
    const name = plainUserName(credentials);
    if (name.includes(':') || /[\x00-\x1f\x7f]/.test(name + credentials.password)) {
      return { type: 'unusable', reason: inexpressible() };
    }
    this.#isSent = true;
    const value = Buffer.from(`${name}:${credentials.password}`, 'utf8').toString('base64');
    return { type: 'send', value: `Basic ${value}`, secret: secretOf(credentials) };
  }

  accepted(): void {}
}

function inexpressible() {
  return authSetupError(
    'Basic authentication allows no colon in a user name, and no control characters: check the credentials',
  );
}
