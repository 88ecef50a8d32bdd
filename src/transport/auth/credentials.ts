import { inspect } from 'node:util';
import { unlessAborted } from '../../common/abort.js';
import { isBitsError } from '../../errors.js';
import { authSetupError } from './auth-error.js';

/** A user's name and password. */
export interface Credentials {
  /** `user`, `DOMAIN\user` or `user@domain`. */
  readonly username: string;
  readonly password: string;
  /** Windows domain or machine name, unless {@link username} names it. */
  readonly domain?: string | undefined;
}

/** Credentials, or a function that is called when they are first needed. */
export type CredentialsInput = Credentials | (() => Credentials | Promise<Credentials>);

const REDACTED = '[redacted]';

/** Gets a secret once for all who need it, and keeps it out of logs: neither printing nor JSON shows it. */
export class SecretSource<T> {
  readonly #input: () => Promise<T>;
  readonly #textOf: (value: T) => string;
  #asked: Promise<T> | undefined;
  #text: string | undefined;

  /** @param textOf the same text for values between which a server sees no difference. */
  constructor(input: () => Promise<T>, textOf: (value: T) => string) {
    this.#input = input;
    this.#textOf = textOf;
  }

  /** @throws BITS_ERR_ABORTED, or the signal's reason, when the signal aborts during the wait */
  get(signal: AbortSignal | undefined): Promise<T> {
    this.#asked ??= this.#ask();
    return unlessAborted(this.#asked, signal);
  }

  async text(signal: AbortSignal | undefined): Promise<string> {
    return this.#textOf(await this.get(signal));
  }

  /** Asks again at the next need, unless that has happened since this text was given. */
  forget(text: string): void {
    if (this.#text !== text) return;
    this.#asked = undefined;
    this.#text = undefined;
  }

  async #ask(): Promise<T> {
    try {
      const value = await this.#input();
      this.#text = this.#textOf(value);
      return value;
    } catch (error) {
      this.#asked = undefined;
      throw error;
    }
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

export type CredentialsSource = SecretSource<Credentials>;

export function credentialsSource(input: CredentialsInput): CredentialsSource {
  const ask = async () => (typeof input === 'function' ? input() : input);
  return new SecretSource(
    async () => checkCredentials(await askCaller('function that gives the credentials', ask)),
    secretOf,
  );
}

/**
 * What a function of the caller's gives.
 * @param what names it in the message of its failure
 * @throws BITS_ERR_AUTH when it fails
 */
export async function askCaller<T>(what: string, ask: () => T | Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (isBitsError(cause)) throw cause;
    throw authSetupError(`The ${what} failed: see the cause`, { cause });
  }
}

/**
 * @throws BITS_ERR_AUTH for anything but a user name and a password; the message shows neither.
 */
export function checkCredentials(value: unknown): Credentials {
  const { username, password, domain } = (value ?? {}) as Partial<Record<string, unknown>>;
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') {
    throw authSetupError('Credentials need a username, not empty, and a password');
  }
  if (domain !== undefined && typeof domain !== 'string') {
    throw authSetupError('The domain of the credentials must be a string');
  }
  return { username, password, ...(domain !== undefined && { domain }) };
}

/** The same for all schemes: an account is locked whichever of them was tried. */
export function secretOf(credentials: Credentials): string {
  return JSON.stringify([plainUserName(credentials), credentials.password]);
}

/** A Windows account: `DOMAIN\user` is split, `user@domain` is a name of its own. */
export function windowsAccount(credentials: Credentials): { user: string; domain: string } {
  const { username, domain } = credentials;
  if (domain !== undefined) return { user: username, domain };
  const slash = username.indexOf('\\');
  if (slash < 0) return { user: username, domain: '' };
  return { user: username.slice(slash + 1), domain: username.slice(0, slash) };
}

/** The name for schemes that know no domain. */
export function plainUserName({ username, domain }: Credentials): string {
  return domain === undefined || domain === '' ? username : `${domain}\\${username}`;
}
