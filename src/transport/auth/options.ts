import { BitsArgumentError } from '../../errors.js';
import { basicScheme } from './basic.js';
import { bearerScheme, type TokenInput } from './bearer.js';
import {
  type Credentials,
  type CredentialsInput,
  type CredentialsSource,
  credentialsSource,
} from './credentials.js';
import { digestScheme } from './digest.js';
import { type KerberosOptions, kerberosScheme } from './kerberos.js';
import { ntlmScheme } from './ntlm.js';
import { type AuthorizationProvider, providerScheme } from './provider.js';
import type { AuthScheme } from './scheme.js';

export const AUTH_SCHEMES = ['negotiate', 'ntlm', 'digest', 'basic'] as const;

export type AuthSchemeName = (typeof AUTH_SCHEMES)[number];

/** How to prove who one is, to a server or to a proxy. Give at least one of the first four. */
export interface AuthOptions {
  /**
   * For Digest, NTLM (also as `Negotiate`) and Basic. A function is asked when they are first
   * needed, and again once they were refused.
   */
  readonly credentials?: CredentialsInput | undefined;
  /** `Negotiate` with a Kerberos ticket; needs the package `kerberos`. */
  readonly kerberos?: true | KerberosOptions | undefined;
  /** A bearer token; a function is asked again when the server answers 401. */
  readonly token?: TokenInput | undefined;
  /** A scheme of your own. */
  readonly authorize?: AuthorizationProvider | undefined;
  /**
   * Uses these only, whatever is offered. @default the strongest offer that the above suffice for:
   * Kerberos, NTLM, Digest with SHA-256, Digest with MD5, Basic
   */
  readonly schemes?: readonly AuthSchemeName[] | undefined;
}

/** What a space of protection works with. */
export interface AuthMeans {
  readonly schemes: readonly AuthScheme[];
  readonly credentials: CredentialsSource | undefined;
}

/**
 * @throws BITS_ERR_ARGUMENT for options that contradict each other or name nothing.
 */
export function authMeans(options: AuthOptions): AuthMeans {
  const { credentials, kerberos, token, authorize } = options;
  const own = [token, authorize].filter((given) => given !== undefined).length;
  const asked = [credentials, kerberos].filter((given) => given !== undefined).length;
  if (own + asked === 0) {
    throw new BitsArgumentError('auth needs credentials, kerberos, token or authorize');
  }
  if (own > 1 || (own === 1 && asked > 0)) {
    throw new BitsArgumentError('auth takes token or authorize alone, without anything else');
  }
  const allowed = checkSchemes(options.schemes);
  if (own === 1 && allowed !== undefined) {
    throw new BitsArgumentError(
      'auth.schemes says nothing about token and authorize: leave it out',
    );
  }
  if (token !== undefined) return { schemes: [bearerScheme(token)], credentials: undefined };
  if (authorize !== undefined) {
    return { schemes: [providerScheme(authorize)], credentials: undefined };
  }
  const source = credentials === undefined ? undefined : credentialsSource(checkInput(credentials));
  const schemes = [
    ...(kerberos === undefined ? [] : [kerberosScheme(kerberos === true ? {} : kerberos)]),
    ...(source === undefined ? [] : passwordSchemes(source, kerberos !== undefined)),
  ].filter(({ name }) => allowed === undefined || allowed.has(name));
  if (schemes.length === 0) {
    throw new BitsArgumentError('auth.schemes leaves none that auth has the means for');
  }
  return { schemes, credentials: source };
}

function passwordSchemes(credentials: CredentialsSource, hasKerberos: boolean): AuthScheme[] {
  return [
    ntlmScheme(credentials, 'NTLM'),
    // Two speakers under one name would take each other's answers.
    ...(hasKerberos ? [] : [ntlmScheme(credentials, 'Negotiate')]),
    digestScheme(credentials),
    basicScheme(credentials),
  ];
}

function checkSchemes(schemes: AuthOptions['schemes']): ReadonlySet<string> | undefined {
  if (schemes === undefined) return undefined;
  for (const name of schemes) {
    if (!AUTH_SCHEMES.includes(name)) {
      throw new BitsArgumentError(`auth.schemes knows ${AUTH_SCHEMES.join(', ')} only`);
    }
  }
  return new Set(schemes);
}

function checkInput(input: CredentialsInput): CredentialsInput {
  if (typeof input === 'function') return input;
  const { username, password } = (input ?? {}) as Partial<Credentials>;
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') {
    throw new BitsArgumentError('auth.credentials needs a username, not empty, and a password');
  }
  return { ...input };
}
