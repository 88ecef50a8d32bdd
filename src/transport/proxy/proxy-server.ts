import { flag, optionGroup } from '../../common/check-options.js';
import { BitsArgumentError } from '../../errors.js';
import type { Credentials } from '../auth/credentials.js';
import { type AuthOptions, authMeans } from '../auth/options.js';
import { type ResolvedTls, resolveTls, type TlsOptions } from '../tls-options.js';

/** A proxy, and how to connect to it. */
export interface ProxyOptions {
  /**
   * `http://`, `https://` (TLS to the proxy itself), `socks5h://` (the proxy resolves host names) or
   * `socks5://` (this machine does); without a scheme, http. Ports by default: 80, 443 and 1080. A
   * user name and password in it are used as `username` and `password` are.
   */
  readonly url: string | URL;
  /** For the proxy; sent at once (Basic). */
  readonly username?: string | undefined;
  /** Of `username`. */
  readonly password?: string | undefined;
  /**
   * Another way to authenticate, instead of `username`. `username` and `password` are sent at once
   * (Basic), as curl does; this waits for a challenge of the proxy, and uses the strongest scheme.
   */
  readonly auth?: AuthOptions | undefined;
  /** Whether http: goes through a tunnel (CONNECT) too, as https: always does. @default false */
  readonly tunnel?: boolean | undefined;
  /** Certificates for an https proxy. */
  readonly tls?: TlsOptions | undefined;
}

/** The proxy for all requests; `false`: none, whatever the environment says. */
export type ProxyOption = string | URL | ProxyOptions | false;

/** A proxy as it is used. */
export interface ProxyServer {
  readonly kind: 'http' | 'socks5';
  /** Whether the connection to the proxy is TLS. */
  readonly isSecure: boolean;
  /** IPv6 in brackets, as in URLs. */
  readonly hostname: string;
  readonly port: number;
  /** With the port: for messages, and as a key. */
  readonly host: string;
  /** Whether this machine resolves host names (`socks5://`). */
  readonly looksUpHere: boolean;
  readonly credentials: Credentials | undefined;
  readonly auth: AuthOptions | undefined;
  readonly tunnel: boolean;
  readonly tls: ResolvedTls;
}

const OPTION_NAMES: Readonly<Record<keyof ProxyOptions, true>> = {
  url: true,
  username: true,
  password: true,
  auth: true,
  tunnel: true,
  tls: true,
};

const SCHEMES = {
  http: { kind: 'http', isSecure: false, port: 80, looksUpHere: false },
  https: { kind: 'http', isSecure: true, port: 443, looksUpHere: false },
  socks5: { kind: 'socks5', isSecure: false, port: 1080, looksUpHere: true },
  socks5h: { kind: 'socks5', isSecure: false, port: 1080, looksUpHere: false },
} as const;

const SCHEME_NAMES = Object.keys(SCHEMES)
  .map((name) => `${name}://`)
  .join(', ');

/** RFC 1929 has one byte for the length. */
const MAX_SOCKS_TEXT_BYTES = 255;

/**
 * @param what names the option or variable in messages, which never show the value.
 * @throws BITS_ERR_ARGUMENT for a proxy that cannot be used.
 */
export function proxyServer(option: string | URL | ProxyOptions, what = 'proxy'): ProxyServer {
  const given = typeof option === 'string' || option instanceof URL ? { url: option } : option;
  if (typeof given !== 'object' || given === null) {
    throw new BitsArgumentError(`${what} must be a URL, an object with a url, or false`);
  }
  const options = optionGroup<ProxyOptions>(what, given, OPTION_NAMES);
  if (typeof options.url !== 'string' && !(options.url instanceof URL)) {
    throw new BitsArgumentError(`${what} needs a url`);
  }
  const { scheme, url, port: givenPort } = parseProxyUrl(options.url, what);
  const { kind, isSecure, port: defaultPort, looksUpHere } = SCHEMES[scheme];
  const credentials = credentialsOf(options, url, what);
  if (options.auth !== undefined && kind === 'socks5') {
    throw new BitsArgumentError(`${what}.auth is for http proxies: SOCKS5 takes a username`);
  }
  if (options.auth !== undefined && credentials !== undefined) {
    throw new BitsArgumentError(`${what} takes auth or a username, not both`);
  }
  // Called for its errors: what is wrong is told before anything is sent.
  if (options.auth !== undefined) authMeans(options.auth, `${what}.auth`);
  if (options.tls !== undefined && !isSecure) {
    throw new BitsArgumentError(`${what}.tls is for https:// proxies`);
  }
  if (kind === 'socks5' && credentials !== undefined) checkSocksText(credentials, what);
  const port = Number(givenPort || defaultPort);
  return Object.freeze({
    kind,
    isSecure,
    hostname: url.hostname,
    port,
    host: `${url.hostname}:${port}`,
    looksUpHere,
    credentials,
    auth: options.auth,
    tunnel: flag(`${what}.tunnel`, options.tunnel),
    tls: resolveTls(options.tls, `${what}.tls`),
  });
}

function parseProxyUrl(
  input: string | URL,
  what: string,
): { scheme: keyof typeof SCHEMES; url: URL; port: string } {
  const text = String(input).trim();
  const [, given = 'http', rest = ''] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text) ?? [];
  const scheme = given.toLowerCase();
  if (!isKnown(scheme)) {
    throw new BitsArgumentError(`${what} must be a URL that starts with one of ${SCHEME_NAMES}`);
  }
  try {
    // For every scheme: only with http does URL check hosts and ports.
    const url = new URL(`http://${rest}`);
    // As the end of a password with / ? or #, of which the rest would be shown as the host.
    if (`${url.pathname}${url.search}${url.hash}`.includes('@')) throw new Error('an @ too late');
    // Each of the two leaves out the port that it has by default.
    return { scheme, url, port: url.port || new URL(`https://${rest}`).port };
  } catch {
    // Without a cause: the error of URL contains the input.
    throw new BitsArgumentError(
      `${what} is malformed: check its host name and port, and write / ? and # in a user name or password as %2F, %3F and %23`,
    );
  }
}

function isKnown(scheme: string): scheme is keyof typeof SCHEMES {
  return Object.hasOwn(SCHEMES, scheme);
}

function credentialsOf(
  { username, password }: Partial<ProxyOptions>,
  url: URL,
  what: string,
): Credentials | undefined {
  for (const [name, value] of Object.entries({ username, password })) {
    if (value !== undefined && typeof value !== 'string') {
      throw new BitsArgumentError(`${what}.${name} must be a string`);
    }
  }
  const inUrl = url.username !== '' || url.password !== '';
  if (username === undefined && password === undefined && !inUrl) return undefined;
  const credentials = {
    username: username ?? decoded(url.username, what),
    password: password ?? decoded(url.password, what),
  };
  if (/[\x00-\x1f\x7f]/.test(credentials.username + credentials.password)) {
    throw new BitsArgumentError(`the user name or password of ${what} contains control characters`);
  }
  return credentials;
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BitsArgumentError(
      `the user name or password in the URL of ${what} is malformed: write a % in it as %25`,
    );
  }
}

function checkSocksText({ username, password }: Credentials, what: string): void {
  for (const text of [username, password]) {
    const bytes = Buffer.byteLength(text);
    if (bytes < 1 || bytes > MAX_SOCKS_TEXT_BYTES) {
      throw new BitsArgumentError(
        `the user name and password of ${what} need 1 to ${MAX_SOCKS_TEXT_BYTES} bytes each for SOCKS5`,
      );
    }
  }
}
