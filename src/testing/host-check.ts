import net from 'node:net';
import type { Exchange } from './http1-connection.js';
import { splitTarget } from './paths.js';
import type { ServerState } from './server-state.js';

const AUTHORITY = /^(?:\[[0-9a-f:.]+\]|[^:/?#@\\[\]]+)(?::\d*)?$/i;
const WILDCARDS = new Set(['0.0.0.0', '::']);

/**
 * Whether a request is meant for this server: its host is the one listened on, the address that the
 * connection reached, a host-id that was given out, or an allowed one; the port does not matter.
 *
 * Else it may come from a web page whose host name was made to lead here (DNS rebinding). A server that
 * listens on all addresses is meant for other machines, and refuses to them only what web pages send.
 */
export function isForThisServer({ req, connection }: Exchange, state: ServerState): boolean {
  const { host, allowedHosts } = state.options;
  if (allowedHosts === 'any') return true;
  const local = canonicalHost(connection.localAddress);
  // The names by which other machines know this one are theirs; web pages tell their origin.
  const isByAnyName =
    WILDCARDS.has(canonicalHost(host)) && !isLoopback(local) && req.headers.origin === undefined;
  const allowed = new Set([host, ...allowedHosts, ...state.hostIds].map(canonicalHost));
  const { host: header = '' } = req.headers;
  const { authority = header } = splitTarget(req.url ?? '');
  return [header, authority].map(canonicalHost).every((name) => {
    if (name === '') return false;
    return (
      isByAnyName || name === local || allowed.has(name) || (isLoopback(local) && isLoopback(name))
    );
  });
}

/** A host without its port, as URLs have it; empty when it is not a host. */
function canonicalHost(text: string): string {
  const address = text.replace(/^::ffff:(?=[\d.]+$)/i, '');
  const authority = net.isIPv6(address) ? `[${address.replace(/%.*/, '')}]` : address;
  if (!AUTHORITY.test(authority)) return '';
  try {
    return new URL(`http://${authority}/`).hostname.replace(/^\[|\.$|\]$/g, '');
  } catch {
    return '';
  }
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || (net.isIPv4(name) && name.startsWith('127.'));
}
