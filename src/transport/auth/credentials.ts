import { inspect } from 'node:util';
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

/** Credentials as such, or a function that is asked for them when they are first needed. */
export type CredentialsInput = Credentials | (() => Credentials | Promise<Credentials>);

const REDACTED = '[redacted]';

/** Keeps a secret out of logs: printing it or making JSON of it shows nothing. */
export class SecretSource<T> {
  readonly #input: () => T | Promise<T>;
  #value: Promise<T> | undefined;

  constructor(input: () => T | Promise<T>) {
    this.#input = input;
  }

  /** The input is asked once, by however many callers. */
  get(): Promise<T> {
    if (this.#value === undefined) {
      const asked = this.#ask();
      this.#value = asked;
      asked.catch(() => this.forget(asked));
    }
    return this.#value;
  }

  /** Lets the input be asked again, unless somebody has asked since `seen`. */
  forget(seen?: Promise<T>): void {
    if (seen === undefined || this.#value === seen) this.#value = undefined;
  }

  async #ask(): Promise<T> {
    return this.#input();
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
  return new SecretSource(async () => {
    if (typeof input !== 'function') return checkCredentials(input);
    try {
      return checkCredentials(await input());
    } catch (error) {
      if (isBitsError(error)) throw error;
      throw authSetupError('The function that gives the credentials failed: see the cause', {
        cause: error,
      });
    }
  });
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

/** Whether a peer would see no difference. */
export function sameCredentials(a: Credentials, b: Credentials): boolean {
  return (
    a.username === b.username && a.password === b.password && (a.domain ?? '') === (b.domain ?? '')
  );
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
