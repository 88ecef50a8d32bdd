import { isBitsError } from '../../errors.js';
import { authSetupError } from './auth-error.js';
import type { Challenge } from './challenges.js';
import { SecretSource } from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  REFUSED,
  STRENGTH,
} from './scheme.js';

/** A token, or a function that is asked for one at first and again when the server answers 401. */
export type TokenInput = string | (() => string | Promise<string>);

// RFC 6750 §2.1; not narrower, for servers give out what they like.
const TOKEN = /^[\x21-\x7e]+$/;

/** `Bearer` (RFC 6750): sent from the first request on. */
export function bearerScheme(input: TokenInput): AuthScheme {
  // One for all hosts and all requests at a time: a token is fetched once.
  const tokens = new SecretSource(() => askFor(input));
  return {
    name: 'bearer',
    title: 'bearer token',
    connectionBound: false,
    eager: true,
    strength: () => STRENGTH.asked,
    begin: () => new BearerState(tokens),
  };
}

class BearerState implements AuthState {
  readonly #tokens: SecretSource<string>;
  #sent: { readonly source: Promise<string>; readonly token: string } | undefined;
  #isRenewed = false;

  constructor(tokens: SecretSource<string>) {
    this.#tokens = tokens;
  }

  async authorize(
    request: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (!request.isPrivate) throw unencrypted(request.host);
    const before = this.#sent;
    if (offers !== undefined && before !== undefined) {
      // Whoever comes later gets a new one, whatever becomes of this request.
      this.#tokens.forget(before.source);
      if (this.#isRenewed) return REFUSED;
      this.#isRenewed = true;
    }
    const source = this.#tokens.get();
    const token = await source;
    if (offers !== undefined && token === before?.token) return REFUSED;
    this.#sent = { source, token };
    return { type: 'send', value: `Bearer ${token}`, decisive: true };
  }

  accepted(): void {
    this.#isRenewed = false;
  }
}

async function askFor(input: TokenInput): Promise<string> {
  let token: unknown;
  try {
    token = typeof input === 'function' ? await input() : input;
  } catch (error) {
    if (isBitsError(error)) throw error;
    throw authSetupError('The function that gives the bearer token failed: see the cause', {
      cause: error,
    });
  }
  if (typeof token !== 'string' || !TOKEN.test(token)) {
    throw authSetupError('The bearer token is empty or holds characters that no header can carry');
  }
  return token;
}

function unencrypted(host: string) {
  return authSetupError(
    `A bearer token for ${host} over http would be shown to everybody in between: use https, or the option allowInsecureAuth (--allow-insecure-auth)`,
  );
}
