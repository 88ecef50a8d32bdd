import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import type { SocksClientError } from 'socks';
import { authSetupError } from '../auth/auth-error.js';
import {
  FORBIDDEN,
  notProxy,
  proxyUnreachable,
  SERVER_UNREACHABLE,
  tunnelRefused,
} from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

export interface TunnelTarget {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** The caller destroys the socket when its own time limit is over. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * Asks a SOCKS5 proxy (RFC 1928, RFC 1929) for a connection to the target.
 *
 * @throws BITS_ERR_PROXY, BITS_ERR_AUTH
 */
export async function openSocksTunnel(
  socket: Socket,
  target: TunnelTarget,
  proxy: ProxyServer,
): Promise<void> {
  const { SocksClient } = await import('socks');
  const host = proxy.looksUpHere ? (await lookup(target.hostname)).address : target.hostname;
  const { credentials } = proxy;
  try {
    await SocksClient.createConnection({
      command: 'connect',
      destination: { host, port: target.port },
      proxy: {
        host: proxy.hostname,
        port: proxy.port,
        type: 5,
        ...(credentials && { userId: credentials.username, password: credentials.password }),
      },
      existing_socket: socket,
      timeout: NEVER_MS,
    });
  } catch (error) {
    throw socksFailure(error as SocksClientError, `${target.hostname}:${target.port}`, proxy);
  }
}

/** Never with the cause: it contains the password. */
function socksFailure({ message }: Error, target: string, proxy: ProxyServer): Error {
  const title = `The proxy ${proxy.host}`;
  if (/Authentication failed/i.test(message)) {
    return authSetupError(
      `${title} refused the credentials: check the user name and password for the proxy, and that the account is not locked or expired`,
    );
  }
  if (/no accepted authentication type/i.test(message)) {
    return authSetupError(
      proxy.credentials === undefined
        ? `${title} requires a user name and password, but no credentials were given: give them in the option proxy`
        : `${title} does not accept a user name and password: check how it authenticates`,
    );
  }
  if (/NotAllowed/.test(message)) return tunnelRefused(proxy, target, FORBIDDEN);
  if (/NetworkUnreachable|HostUnreachable|ConnectionRefused|TTLExpired|- Failure/.test(message)) {
    return tunnelRefused(proxy, target, SERVER_UNREACHABLE);
  }
  if (/socket closed|ECONNRESET|EPIPE/i.test(message)) {
    return proxyUnreachable(Object.assign(new Error(message), { code: 'ECONNRESET' }), proxy);
  }
  return notProxy(proxy);
}
