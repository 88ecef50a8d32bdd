import { authSetupError } from './auth-error.js';
import { type Challenge, offerOf } from './challenges.js';
import { type CredentialsSource, plainUserName } from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  NOTHING,
  REFUSED,
  STRENGTH,
} from './scheme.js';

/** `Basic` (RFC 7617) in UTF-8, to those only who may read the password. */
export function basicScheme(credentials: CredentialsSource): AuthScheme {
  return {
    name: 'basic',
    title: 'Basic',
    connectionBound: false,
    eager: false,
    strength: (offers) => (offerOf(offers, 'basic') ? STRENGTH.basic : undefined),
    begin: () => new BasicState(credentials),
  };
}

class BasicState implements AuthState {
  readonly #credentials: CredentialsSource;
  #isSent = false;

  constructor(credentials: CredentialsSource) {
    this.#credentials = credentials;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (offers === undefined && !this.#isSent) return NOTHING;
    // There is only one thing to say, so saying it again would only lock the account.
    if (offers !== undefined && this.#isSent) return REFUSED;
    if (!request.isPrivate) throw unencrypted(request.host);
    const credentials = await this.#credentials.get();
    const name = plainUserName(credentials);
    if (name.includes(':')) {
      throw authSetupError('A user name with a colon cannot be used with Basic authentication');
    }
    if (/[\x00-\x1f\x7f]/.test(name + credentials.password)) {
      throw authSetupError('Basic authentication cannot carry control characters: check the input');
    }
    this.#isSent = true;
    const value = Buffer.from(`${name}:${credentials.password}`, 'utf8').toString('base64');
    return { type: 'send', value: `Basic ${value}`, decisive: true };
  }

  accepted(): void {}
}

function unencrypted(host: string) {
  return authSetupError(
    `${host} asks for Basic authentication over http, which would show the password to everybody in between: use https, another scheme, or the option allowInsecureAuth (--allow-insecure-auth)`,
  );
}
