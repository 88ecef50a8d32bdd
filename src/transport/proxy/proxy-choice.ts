import type { TransportLimitation } from '../transport.js';
import { noProxyMatcher } from './no-proxy.js';
import { type ProxyOption, type ProxyServer, proxyServer } from './proxy-server.js';

export interface ProxyChoice {
  /** Undefined: none. */
  readonly proxyFor: (url: URL) => ProxyServer | undefined;
  readonly limitations: readonly TransportLimitation[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Which proxy a URL goes through: the option's, or else that of the environment.
 *
 * The variables are curl's, lower case before upper: `https_proxy` or `http_proxy` by the scheme of
 * the URL, then `all_proxy`. As in curl, `NO_PROXY` also limits the option's proxy.
 * @param noProxy replaces `NO_PROXY`.
 * @param platform for tests
 * @throws BITS_ERR_ARGUMENT for a proxy that cannot be used.
 */
export function proxyChoice(
  option: ProxyOption | undefined,
  noProxy: string | undefined,
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
): ProxyChoice {
  if (option === false) return { proxyFor: () => undefined, limitations: [] };
  const isException = noProxyMatcher(noProxy ?? variable(env, 'no_proxy')?.value ?? '');
  const byScheme =
    option === undefined ? environmentProxies(env, platform) : everywhere(proxyServer(option));
  return {
    proxyFor: (url) => {
      const proxy = byScheme[url.protocol];
      return proxy === undefined || isException(url) ? undefined : proxy;
    },
    limitations: [...new Set(Object.values(byScheme).flatMap((one) => one?.tls.limitations ?? []))],
  };
}

/**
 * All proxy settings of the environment as one text, which may contain passwords.
 * @returns undefined when it names none.
 */
export function proxyEnvironment(env: Environment = process.env): string | undefined {
  const http = httpVariable(env, process.platform);
  const https = variable(env, 'https_proxy');
  const all = variable(env, 'all_proxy');
  if (http === undefined && https === undefined && all === undefined) return undefined;
  return JSON.stringify([http, https, all, variable(env, 'no_proxy')]);
}

type ByScheme = Readonly<Record<string, ProxyServer | undefined>>;

function everywhere(server: ProxyServer): ByScheme {
  return { 'http:': server, 'https:': server };
}

function environmentProxies(env: Environment, platform: NodeJS.Platform): ByScheme {
  const all = variable(env, 'all_proxy');
  return {
    'http:': serverOf(httpVariable(env, platform) ?? all),
    'https:': serverOf(variable(env, 'https_proxy') ?? all),
  };
}

function httpVariable(env: Environment, platform: NodeJS.Platform): Variable | undefined {
  // In a CGI program HTTP_PROXY is the header `Proxy` of whoever sent the request, and so is
  // http_proxy on Windows, where both are one variable.
  const isCgi = env.REQUEST_METHOD !== undefined;
  const lower = isCgi && platform === 'win32' ? undefined : env.http_proxy;
  const given = lower || (isCgi ? undefined : env.HTTP_PROXY);
  return given ? { name: 'HTTP_PROXY', value: given } : undefined;
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

const UPPER = { https_proxy: 'HTTPS_PROXY', all_proxy: 'ALL_PROXY', no_proxy: 'NO_PROXY' } as const;

function variable(env: Environment, name: keyof typeof UPPER): Variable | undefined {
  const upper = UPPER[name];
  const value = env[name] || env[upper];
  return value ? { name: upper, value } : undefined;
}

function serverOf(given: Variable | undefined): ProxyServer | undefined {
  return given && proxyServer(given.value, `the environment variable ${given.name}`);
}
