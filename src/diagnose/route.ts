import { proxyChoice } from '../transport/proxy/proxy-choice.js';
import type { ProxyOption, ProxyServer } from '../transport/proxy/proxy-server.js';

/** How requests get to the server. */
export interface Route {
  readonly proxy: ProxyServer | undefined;
  /** The origin of the choice, as a phrase. */
  readonly why: string;
}

/**
 * Which proxy an upload to the URL goes through, and why.
 * @throws BITS_ERR_ARGUMENT for a proxy that cannot be used
 */
export function routeTo(
  url: URL,
  option: ProxyOption | undefined,
  noProxy: string | undefined,
): Route {
  if (option === false) return { proxy: undefined, why: 'the option proxy disables it' };
  const proxy = proxyChoice(option, noProxy).proxyFor(url);
  if (proxy !== undefined) {
    return {
      proxy,
      why: option === undefined ? `from ${variableFor(url)}` : 'from the option proxy',
    };
  }
  const isException = proxyChoice(option, '').proxyFor(url) !== undefined;
  const exception = noProxy === undefined ? 'NO_PROXY of the environment' : 'the option noProxy';
  return {
    proxy: undefined,
    why: isException
      ? `${exception} names ${url.hostname}`
      : `neither the option proxy nor the environment names one for ${url.protocol} URLs`,
  };
}

function variableFor(url: URL): string {
  const { env } = process;
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
