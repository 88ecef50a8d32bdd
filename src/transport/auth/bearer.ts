import { authSetupError, unencrypted } from './auth-error.js';
import type { Challenge } from './challenges.js';
import { askCaller, SecretSource } from './credentials.js';
import {
  type AuthRequest,
  type AuthScheme,
  type AuthState,
  type AuthStep,
  REFUSED,
  STRENGTH,
} from './scheme.js';

/** A token, or a function that is called for one at first and again when the server answers 401. */
export type TokenInput = string | (() => string | Promise<string>);

// RFC 6750 §2.1; not narrower, because servers issue what they like.
const TOKEN = /^[\x21-\x7e]+$/;

/** One for all hosts and requests: a token is fetched once. */
export function tokenSource(input: TokenInput): SecretSource<string> {
  return new SecretSource(
    () => askFor(input),
    (token) => token,
  );
}

/** `Bearer` (RFC 6750): sent from the first request on. */
export function bearerScheme(tokens: SecretSource<string>): AuthScheme {
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
  #sent: string | undefined;
  #isRenewed = false;

  constructor(tokens: SecretSource<string>) {
    this.#tokens = tokens;
  }

  async authorize(
    { peer, signal }: AuthRequest,
    offers: readonly Challenge[] | undefined,
  ): Promise<AuthStep> {
    if (!peer.isPrivate) throw unencrypted(`The bearer token would go to ${peer.title}`);
    const refused = offers === undefined ? undefined : this.#sent;
    if (refused !== undefined) {
      // Later requests get a new one, whatever becomes of this request.
      this.#tokens.forget(refused);
      if (this.#isRenewed) return REFUSED;
      this.#isRenewed = true;
    }
    const token = await this.#tokens.get(signal);
    if (token === refused) return REFUSED;
    this.#sent = token;
    return { type: 'send', value: `Bearer ${token}`, secret: token };
  }

  accepted(): void {
    this.#isRenewed = false;
  }
}

async function askFor(input: TokenInput): Promise<string> {
  const token: unknown = await askCaller('function that gives the bearer token', () =>
    typeof input === 'function' ? input() : input,
  );
  if (typeof token !== 'string' || !TOKEN.test(token)) {
    throw authSetupError('The bearer token is empty or contains characters that no header allows');
  }
  return token;
}
