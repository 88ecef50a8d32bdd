import { flag, optionGroup } from '../../common/check-options.js';
import { BitsArgumentError } from '../../errors.js';
import { basicScheme } from './basic.js';
import { bearerScheme, type TokenInput, tokenSource } from './bearer.js';
import {
  type Credentials,
  type CredentialsInput,
  type CredentialsSource,
  credentialsSource,
  type SecretSource,
} from './credentials.js';
import { digestScheme } from './digest.js';
import { type KerberosOptions, kerberosScheme } from './kerberos.js';
import { ntlmScheme } from './ntlm.js';
import { type AuthorizationProvider, providerScheme } from './provider.js';
import type { AuthScheme } from './scheme.js';

export const AUTH_SCHEMES = ['negotiate', 'ntlm', 'digest', 'basic'] as const;

/** A scheme that a server can offer and this package can answer. */
export type AuthSchemeName = (typeof AUTH_SCHEMES)[number];

/** How to authenticate to a server or a proxy. Give at least one of the first four. */
export interface AuthOptions {
  /**
   * For Digest, NTLM (also as `Negotiate`) and Basic. A function is called when they are first
   * needed, and again once they were refused.
   *
   * Credentials that a host has refused are not sent to it again by this process for 15 minutes,
   * whichever job and scheme they are for; other credentials are tried at once.
   */
  readonly credentials?: CredentialsInput | undefined;
  /** `Negotiate` with a Kerberos ticket; needs the package `kerberos`. */
  readonly kerberos?: true | KerberosOptions | undefined;
  /** A bearer token; a function is called again when the server answers 401. */
  readonly token?: TokenInput | undefined;
  /** A scheme of your own. */
  readonly authorize?: AuthorizationProvider | undefined;
  /**
   * Uses only these, whatever is offered. @default the strongest offer that the above suffice for:
   * Kerberos, NTLM, Digest with SHA-256, Digest with MD5, Basic
   */
  readonly schemes?: readonly AuthSchemeName[] | undefined;
  /**
   * Answers Digest challenges without `qop`, too (RFC 2069): they allow an attacker in between to
   * choose all that is hashed with the password. @default false
   */
  readonly allowLegacyDigest?: boolean | undefined;
}

const OPTION_NAMES: Readonly<Record<keyof AuthOptions, true>> = {
  credentials: true,
  kerberos: true,
  token: true,
  authorize: true,
  schemes: true,
  allowLegacyDigest: true,
};

/** What there is to authenticate with. */
export interface AuthMeans {
  readonly schemes: readonly AuthScheme[];
  /** Of the schemes, where they have one that can be read before it is sent. */
  readonly secret?: SecretSource<Credentials> | SecretSource<string>;
}

/**
 * @throws BITS_ERR_ARGUMENT for options that contradict each other, lack what they need, or are none.
 */
export function authMeans(input: AuthOptions, what = 'auth'): AuthMeans {
  const options: AuthOptions = optionGroup(what, input, OPTION_NAMES);
  const { credentials, kerberos, token, authorize } = options;
  const own = [token, authorize].filter((given) => given !== undefined).length;
  const asked = [credentials, kerberos].filter((given) => given !== undefined).length;
  if (own + asked === 0) {
    throw new BitsArgumentError(`${what} needs credentials, kerberos, token or authorize`);
  }
  if (own > 1 || (own === 1 && asked > 0)) {
    throw new BitsArgumentError(`${what} takes token or authorize alone, without anything else`);
  }
  const allowed = checkSchemes(options.schemes);
  if (own === 1 && allowed !== undefined) {
    throw new BitsArgumentError('auth.schemes does not apply to token and authorize: omit it');
  }
  if (token !== undefined) {
    if (typeof token !== 'string' && typeof token !== 'function') {
      throw new BitsArgumentError(`${what}.token must be a string or a function`);
    }
    const secret = tokenSource(token);
    return { schemes: [bearerScheme(secret)], secret };
  }
  if (authorize !== undefined) {
    if (typeof authorize !== 'function') {
      throw new BitsArgumentError(`${what}.authorize must be a function`);
    }
    return { schemes: [providerScheme(authorize)] };
  }
  const secret = credentials === undefined ? undefined : credentialsSource(checkInput(credentials));
  const schemes = [
    ...(kerberos === undefined ? [] : [kerberosScheme(checkKerberos(kerberos, what))]),
    ...(secret === undefined ? [] : passwordSchemes(secret, options)),
  ].filter(({ name }) => allowed === undefined || allowed.has(name));
  if (schemes.length === 0) {
    throw new BitsArgumentError('auth.schemes allows none of the schemes that auth is for');
  }
  return { schemes, ...(secret && { secret }) };
}

/** Sends a password as Basic before there is a challenge, as curl does for proxies. */
export function basicFirst(credentials: Credentials): AuthMeans {
  const secret = credentialsSource(checkInput(credentials));
  const others = passwordSchemes(secret, {}).filter(({ name }) => name !== 'basic');
  return { schemes: [basicScheme(secret, true), ...others], secret };
}

function passwordSchemes(
  credentials: CredentialsSource,
  { kerberos, allowLegacyDigest }: AuthOptions,
): AuthScheme[] {
  return [
    ntlmScheme(credentials, 'NTLM'),
    // Two schemes under one name would read each other's answers.
    ...(kerberos !== undefined ? [] : [ntlmScheme(credentials, 'Negotiate')]),
    digestScheme(credentials, flag('auth.allowLegacyDigest', allowLegacyDigest)),
    basicScheme(credentials),
  ];
}

function checkSchemes(schemes: AuthOptions['schemes']): ReadonlySet<string> | undefined {
  if (schemes === undefined) return undefined;
  if (!Array.isArray(schemes)) throw new BitsArgumentError('auth.schemes must be an array');
  for (const name of schemes) {
    if (!AUTH_SCHEMES.includes(name)) {
      throw new BitsArgumentError(`auth.schemes may contain only ${AUTH_SCHEMES.join(', ')}`);
    }
  }
  return new Set(schemes);
}

function checkKerberos(kerberos: true | KerberosOptions, what: string): KerberosOptions {
  if (kerberos === true) return {};
  const known = { servicePrincipal: true, principal: true } as const;
  const options = optionGroup(`${what}.kerberos`, kerberos, known);
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && typeof value !== 'string') {
      throw new BitsArgumentError(`${what}.kerberos.${name} must be a string`);
    }
  }
  return options;
}

function checkInput(input: CredentialsInput): CredentialsInput {
  if (typeof input === 'function') return input;
  const { username, password, domain = '' } = (input ?? {}) as Partial<Credentials>;
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') {
    throw new BitsArgumentError('auth.credentials needs a username, not empty, and a password');
  }
  if (typeof domain !== 'string') {
    throw new BitsArgumentError('auth.credentials.domain must be a string');
  }
  return { ...input };
}
