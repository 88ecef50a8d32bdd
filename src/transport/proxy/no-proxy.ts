import { BlockList, isIP } from 'node:net';

interface Exception {
  /** Undefined: any. */
  readonly port: string | undefined;
  readonly matches: (hostname: string) => boolean;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * Reads `NO_PROXY`: hosts that are reached without a proxy, separated by commas or white space.
 *
 * - `corp.example`, `.corp.example`, `*.corp.example`: that host and all its subdomains;
 * - `10.0.0.7`, `::1`: that address; `10.0.0.0/8`, `fd00::/8`: those addresses;
 * - a host or an address with a port, `corp.example:8080`, `[::1]:80`: only on that port;
 * - `*`: every host.
 *
 * As in curl, loopback is not an exception by itself, names are not resolved, and unreadable entries
 * are ignored.
 */
export function noProxyMatcher(text: string): (url: URL) => boolean {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  if (entries.includes('*')) return () => true;
  const exceptions = entries.map(exceptionOf).filter((entry) => entry !== undefined);
  return (url) => {
    const hostname = bareHost(url.hostname);
    const port = url.port || DEFAULT_PORTS[url.protocol];
    return exceptions.some(
      (entry) => (entry.port === undefined || entry.port === port) && entry.matches(hostname),
    );
  };
}

function exceptionOf(entry: string): Exception | undefined {
  const [network = '', prefix] = entry.split('/');
  if (prefix !== undefined) return subnet(bareHost(network), prefix);
  if (isIP(bareHost(entry)) !== 0) return subnet(bareHost(entry));
  const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  const host = bareHost(name);
  if (isIP(host) !== 0) return subnet(host, undefined, port);
  const suffix = host.replace(/^\*?\./, '');
  if (suffix === '') return undefined;
  return { port, matches: (tried) => tried === suffix || tried.endsWith(`.${suffix}`) };
}

/** @param prefix how many bits of the address count */
function subnet(
  address: string,
  prefix = isIP(address) === 6 ? '128' : '32',
  port?: string,
): Exception | undefined {
  const family = isIP(address);
  const allBits = family === 6 ? 128 : 32;
  if (family === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > allBits) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), familyName(family));
  return {
    port,
    matches: (tried) => isIP(tried) !== 0 && list.check(tried, familyName(isIP(tried))),
  };
}

function familyName(family: number): 'ipv4' | 'ipv6' {
  return family === 6 ? 'ipv6' : 'ipv4';
}

/** Lower case, without the brackets of IPv6 and the dot of an absolute name. */
function bareHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
