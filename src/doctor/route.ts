import { proxyChoice } from '../transport/proxy/proxy-choice.js';
import type { ProxyOption, ProxyServer } from '../transport/proxy/proxy-server.js';

/** How requests get to the server. */
export interface Route {
  readonly proxy: ProxyServer | undefined;
  /** Where the choice comes from, as a phrase. */
  readonly why: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Which proxy an upload to the URL goes through, and why.
 * @throws BITS_ERR_ARGUMENT for a proxy that cannot be used.
 */
export function routeTo(
  url: URL,
  option: ProxyOption | undefined,
  noProxy: string | undefined,
  env: Environment = process.env,
): Route {
  if (option === false) return { proxy: undefined, why: 'the option proxy switches it off' };
  const proxy = proxyChoice(option, noProxy, env).proxyFor(url);
  if (proxy !== undefined) {
    return {
      proxy,
      why: option === undefined ? `from ${variableFor(url, env)}` : 'from the option proxy',
    };
  }
  const isException = proxyChoice(option, '', env).proxyFor(url) !== undefined;
  const exception = noProxy === undefined ? 'NO_PROXY of the environment' : 'the option noProxy';
  return {
    proxy: undefined,
    why: isException
      ? `${exception} names ${url.hostname}`
      : `neither an option nor the environment names one for ${url.protocol} URLs`,
  };
}

function variableFor(url: URL, env: Environment): string {
  const scheme = url.protocol.slice(0, -1);
  const names = [`${scheme}_proxy`, 'all_proxy'].flatMap((name) => [name, name.toUpperCase()]);
  const decisive = names.find((name) => {
    const alone = { [name]: env[name], REQUEST_METHOD: env.REQUEST_METHOD };
    return proxyChoice(undefined, '', alone).proxyFor(url) !== undefined;
  });
  return `${decisive ?? 'a variable'} of the environment`;
}

/** `http://proxy.example:3128`, never with a user name. */
export function proxyName({ kind, isSecure, looksUpHere, host }: ProxyServer): string {
  if (kind === 'socks5') return `${looksUpHere ? 'socks5' : 'socks5h'}://${host}`;
  return `${isSecure ? 'https' : 'http'}://${host}`;
}
