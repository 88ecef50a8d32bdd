import type { HostId } from './packets.js';

// RFC 1035 §2.3.4 allows 253; brackets and a port come on top.
const MAX_HOST_LENGTH = 253;

const BRACKETED = /^\[([0-9a-f:.]+)\](?::(\d{1,5}))?$/i;
const BARE_V6 = /^[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*$/i;
// An underscore is not legal in a host name (RFC 1123), but occurs in Windows machine names.
const NAMED = /^([0-9a-z_-]+(?:\.[0-9a-z_-]+)*\.?)(?::(\d{1,5}))?$/i;

/**
 * Reads `BITS-Host-Id` ([MC-BUP] §2.2.3.2): `HOST`, `host:port`, IPv4, `[v6]`, `[v6]:port` or bare v6.
 *
 * @returns the host as URLs write it, lower case, IPv6 in brackets; undefined for anything else, so
 * that only a host and a port can reach a request.
 */
export function parseHostId(value: string): HostId | undefined {
  const text = value.trim();
  if (BARE_V6.test(text)) return canonicalHost(`[${text}]`, undefined);
  const bracketed = BRACKETED.exec(text);
  if (bracketed !== null) return canonicalHost(`[${bracketed[1]}]`, bracketed[2]);
  const named = NAMED.exec(text);
  return named?.[1] === undefined ? undefined : canonicalHost(named[1].toLowerCase(), named[2]);
}

function canonicalHost(host: string, port: string | undefined): HostId | undefined {
  if (host.length > MAX_HOST_LENGTH) return undefined;
  if (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535)) return undefined;
  const hostname = hostnameOf(host);
  if (hostname === undefined) return undefined;
  // URL reads `2130706433` and `127.1` as 127.0.0.1: a host must be written as it is.
  if (!host.startsWith('[') && hostname !== host) return undefined;
  return port === undefined ? hostname : `${hostname}:${Number(port)}`;
}

function hostnameOf(host: string): string | undefined {
  try {
    return new URL(`http://${host}/`).hostname;
  } catch {
    return undefined;
  }
}

/**
 * Puts a host id in place of the host of a URL; scheme, path and query stay ([MC-BUP] §1.3.4.2).
 *
 * A host id without a port means the default port of the scheme, because the value replaces the whole
 * server part of the URL and the `Host` header.
 */
export function withHost(url: URL, hostId: HostId): URL {
  const moved = new URL(url);
  // Assigning `host` alone would keep the old port when the new host names none.
  moved.port = '';
  moved.host = hostId;
  return moved;
}

/**
 * Whether credentials may go to a host: to the remote URL's own (any port), to the names in
 * `trustedHosts`, and to everything one or more labels below a `*.corp.example`. A port in
 * `trustedHosts` means this port alone.
 *
 * @param host without a port: at the default port of the remote URL's scheme; IPv6 with brackets or
 *   without.
 */
export function isTrustedHost(
  host: string,
  remoteUrl: URL,
  trustedHosts: readonly string[],
): boolean {
  if (host === remoteUrl.host) return true;
  const asked = partsOf(host);
  if (asked === undefined) return false;
  if (asked.name === remoteUrl.hostname) return true;
  const defaultPort = remoteUrl.protocol === 'https:' ? '443' : '80';
  return trustedHosts.some((pattern) => {
    const trimmed = pattern.trim();
    const isWildcard = trimmed.startsWith('*.');
    const trusted = trustedParts(withoutWildcard(trimmed));
    if (trusted === undefined) return false;
    if (trusted.port !== undefined && trusted.port !== (asked.port ?? defaultPort)) return false;
    return isWildcard ? asked.name.endsWith(`.${trusted.name}`) : asked.name === trusted.name;
  });
}

/** Whether a text can stand in `trustedHosts`: any other one would match no host. */
export function isHostPattern(pattern: string): boolean {
  return trustedParts(withoutWildcard(pattern.trim())) !== undefined;
}

function withoutWildcard(pattern: string): string {
  return pattern.startsWith('*.') ? pattern.slice('*.'.length) : pattern;
}

interface HostParts {
  readonly name: string;
  readonly port: string | undefined;
}

function partsOf(host: string): HostParts | undefined {
  const canonical = parseHostId(host);
  const name = canonical === undefined ? undefined : hostnameOf(canonical);
  if (canonical === undefined || name === undefined) return undefined;
  const port = canonical.slice(name.length + 1);
  return { name, port: port === '' ? undefined : port };
}

// The caller may write a name in any script; a server may not, because header text is ASCII.
function trustedParts(text: string): HostParts | undefined {
  if (!/[^\u0000-\u007f]/.test(text)) return partsOf(text);
  const [, international = '', port] = /^([\p{L}\p{M}\p{N}.-]+)(?::(\d{1,5}))?$/u.exec(text) ?? [];
  const name = hostnameOf(international);
  return name === undefined ? undefined : { name, port: port && String(Number(port)) };
}
