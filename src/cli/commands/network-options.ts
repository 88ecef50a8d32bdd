import { readFileSync } from 'node:fs';
import type { Option } from 'commander';
import { codeOf } from '../../common/error-like.js';
import type { AuthOptions, AuthSchemeName, DiagnoseOptions, TlsOptions } from '../../index.js';
import type { Environment } from '../context.js';
import { isOn, variableOf } from '../environment.js';
import { passwordOf } from '../password-command.js';
import type { Warning } from '../render/messages.js';
import { UsageError } from '../values.js';
import { NETWORK_OPTIONS, type NetworkFlags } from './network-flags.js';

/** What {@link NetworkFlags} mean to the SDK. */
export type NetworkOptions = Pick<
  DiagnoseOptions,
  | 'auth'
  | 'allowInsecureAuth'
  | 'trustedHosts'
  | 'tls'
  | 'proxy'
  | 'noProxy'
  | 'userAgent'
  | 'methodOverride'
>;

/**
 * Reads the files of certificates; a password command runs only when the password is needed.
 * @throws UsageError for contradictions and unreadable files; no message repeats a secret
 */
export function networkOptions(
  flags: NetworkFlags,
  { env, signal }: { readonly env: Environment; readonly signal: AbortSignal },
): NetworkOptions {
  const settings = withEnvironment(flags, env);
  const { allowInsecureAuth, trustedHost, noproxy, methodOverride, userAgent } = settings;
  return {
    auth: authOf(flags, settings, env, signal),
    allowInsecureAuth,
    trustedHosts: trustedHost,
    tls: tlsOf(flags, settings),
    proxy: proxyOf(settings, env),
    noProxy: noproxy,
    userAgent,
    methodOverride,
  };
}

/** Warnings of secrets that other users can see in the list of processes. */
export function secretWarnings(flags: NetworkFlags): Warning[] {
  const { user, oauth2Bearer, pass, proxy, proxyUser } = flags;
  const seen = [
    hasPassword(user) && ['the password of --user', 'BITS_UPLOAD_PASSWORD'],
    oauth2Bearer !== undefined && ['the token of --oauth2-bearer', 'BITS_UPLOAD_OAUTH2_BEARER'],
    pass !== undefined && ['the passphrase of --pass', 'BITS_UPLOAD_PASS'],
    hasPassword(proxyUser) && ['the password of --proxy-user', 'BITS_UPLOAD_PROXY_PASSWORD'],
    /:[^/@]*@/.test(proxy?.replace(/^[a-z0-9]+:\/\//i, '') ?? '') && [
      'the password in --proxy',
      'BITS_UPLOAD_PROXY_PASSWORD',
    ],
  ];
  return seen
    .filter((one) => one !== false)
    .map(([what = '', variable = '']) => secretWarning(what, variable));
}

export function secretWarning(what: string, variable: string): Warning {
  return {
    code: 'secret-in-arguments',
    message: `${what} is on the command line, where other users of this machine can read it, and in the history of the shell: set ${variable} instead`,
  };
}

export function hasPassword(user: string | undefined): boolean {
  return user !== undefined && /:./s.test(user);
}

function withEnvironment(flags: NetworkFlags, env: Environment): NetworkFlags {
  const names = NETWORK_OPTIONS.map((option) => {
    const name = option.attributeName() as keyof NetworkFlags;
    return [name, flags[name] ?? valueIn(env, option)];
  });
  return Object.fromEntries(names);
}

function valueIn(env: Environment, option: Option): string | boolean | string[] | undefined {
  const variable = variableOf(option);
  const value = env[variable];
  // An empty proxy means no proxy; any other empty variable counts as not set.
  if (value === undefined || (value === '' && option.long !== '--proxy')) return undefined;
  if (option.isBoolean()) return isOn(variable, value);
  return option.parseArg === undefined ? value : value.split(',').map((one) => one.trim());
}

const SCHEMES: readonly AuthSchemeName[] = ['negotiate', 'ntlm', 'digest', 'basic'];

function authOf(
  flags: NetworkFlags,
  settings: NetworkFlags,
  env: Environment,
  signal: AbortSignal,
): AuthOptions | undefined {
  // A user or a token on the command line takes precedence over both in the environment.
  const isGiven = flags.user !== undefined || flags.oauth2Bearer !== undefined;
  const { user, oauth2Bearer } = isGiven ? flags : settings;
  const schemes = schemesOf(flags, settings);
  const [scheme] = SCHEMES.filter((name) => flags[name]);
  if (user !== undefined && oauth2Bearer !== undefined) {
    throw new UsageError('--user and --oauth2-bearer exclude each other');
  }
  if (oauth2Bearer !== undefined) {
    if (scheme !== undefined) {
      throw new UsageError('--oauth2-bearer cannot be combined with a choice of schemes');
    }
    if (oauth2Bearer === '') throw new UsageError('--oauth2-bearer needs a token, not ""');
    return { token: oauth2Bearer };
  }
  if (user !== undefined && !/^:?$/.test(user)) {
    const { allowLegacyDigest } = settings;
    return {
      credentials: credentialsOf(user, flags, settings, env, signal),
      ...(schemes && { schemes }),
      ...(allowLegacyDigest && { allowLegacyDigest }),
    };
  }
  if (flags.passwordCommand !== undefined) throw new UsageError('--password-command needs --user');
  if (schemes?.includes('negotiate')) return { kerberos: true, schemes: ['negotiate'] };
  if (user !== undefined) throw new UsageError('--user needs a name');
  if (scheme !== undefined) throw new UsageError(`--${scheme} needs --user`);
  return undefined;
}

/** Undefined: any. */
function schemesOf(flags: NetworkFlags, settings: NetworkFlags): AuthSchemeName[] | undefined {
  const isGiven = flags.anyauth || SCHEMES.some((scheme) => flags[scheme]);
  const from = isGiven ? flags : settings;
  const chosen = SCHEMES.filter((scheme) => from[scheme]);
  return from.anyauth || chosen.length === 0 ? undefined : chosen;
}

function credentialsOf(
  user: string,
  flags: NetworkFlags,
  settings: NetworkFlags,
  env: Environment,
  signal: AbortSignal,
): NonNullable<AuthOptions['credentials']> {
  const [username, inUser] = splitUser(user);
  if (username === '') throw new UsageError('--user needs a name before the colon');
  const hasCommand = flags.passwordCommand !== undefined;
  if (hasCommand && flags.user !== undefined && inUser !== undefined) {
    throw new UsageError('--user has a password already: leave out --password-command');
  }
  const password = hasCommand ? undefined : (inUser ?? env.BITS_UPLOAD_PASSWORD);
  if (password !== undefined) return { username, password };
  const command = settings.passwordCommand;
  if (command === undefined) {
    throw new UsageError(
      '--user needs a password: set BITS_UPLOAD_PASSWORD, or give --password-command',
    );
  }
  return async () => ({ username, password: await passwordOf(command, signal) });
}

function splitUser(user: string): [name: string, password: string | undefined] {
  const colon = user.indexOf(':');
  return colon < 0 ? [user, undefined] : [user.slice(0, colon), user.slice(colon + 1)];
}

function tlsOf(flags: NetworkFlags, settings: NetworkFlags): TlsOptions | undefined {
  const { cacert, cert, key, pass, insecure } = settings;
  for (const name of ['key', 'pass'] as const) {
    if (flags[name] !== undefined && cert === undefined) {
      throw new UsageError(`--${name} needs --cert`);
    }
  }
  const options: TlsOptions = {
    ...(cacert !== undefined && { ca: contentOf('--cacert', cacert) }),
    ...(cert !== undefined && clientCertificate(cert, key)),
    ...(cert !== undefined && pass !== undefined && { passphrase: pass }),
    ...(insecure && { dangerouslyAllowInvalidCertificates: true }),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

function clientCertificate(certFile: string, keyFile: string | undefined): TlsOptions {
  const cert = contentOf('--cert', certFile);
  if (!cert.includes('-----BEGIN ')) {
    if (keyFile === undefined) return { pfx: cert };
    throw new UsageError('--key needs a --cert in PEM, and this one is not PEM: convert it');
  }
  return { cert, key: keyFile === undefined ? cert : contentOf('--key', keyFile) };
}

function contentOf(flag: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`${flag} ${file} cannot be read (${codeOf(error)}): check the path`);
  }
}

function proxyOf(
  { proxy, proxyUser }: NetworkFlags,
  env: Environment,
): NetworkOptions['proxy'] | undefined {
  if (proxy === '') return false;
  if (proxyUser === undefined) return proxy;
  if (proxy === undefined) throw new UsageError('--proxy-user needs --proxy');
  const [username, inUser] = splitUser(proxyUser);
  const password = inUser ?? env.BITS_UPLOAD_PROXY_PASSWORD;
  if (password === undefined) {
    throw new UsageError('--proxy-user needs a password: set BITS_UPLOAD_PROXY_PASSWORD');
  }
  return { url: proxy, username, password };
}
