import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import type { SocksClientError } from 'socks';
import { authSetupError } from '../auth/auth-error.js';
import { proxyFailed, proxyUnreachable, refusedText } from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

export interface TunnelTarget {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** The caller cuts the socket when its own time is over. */
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

/** Never with the cause: it holds the password. */
function socksFailure({ message }: Error, target: string, proxy: ProxyServer): Error {
  const refused = (advice: string, retryable: boolean): Error =>
    proxyFailed(proxy, `made no connection to ${target}: ${advice}`, { retryable });
  if (/Authentication failed/i.test(message)) return authSetupError(refusedText(proxy));
  if (/no accepted authentication type/i.test(message)) {
    const what =
      proxy.credentials === undefined
        ? 'asks for a user name and password: give them in the option proxy'
        : 'takes no user name and password: check how it authenticates';
    return authSetupError(`The proxy ${proxy.host} ${what}`);
  }
  if (/NotAllowed/.test(message)) {
    return refused('its rules forbid this host or port: ask who runs the proxy', false);
  }
  if (/NetworkUnreachable|HostUnreachable|ConnectionRefused|TTLExpired|- Failure/.test(message)) {
    return refused(
      'it could not reach the server: check the host name, and that the proxy can get there',
      true,
    );
  }
  if (/socket closed|ECONNRESET|EPIPE/i.test(message)) {
    return proxyUnreachable(Object.assign(new Error(message), { code: 'ECONNRESET' }), proxy);
  }
  return proxyFailed(proxy, 'does not answer as a SOCKS5 proxy does: check its address and kind', {
    retryable: false,
  });
}
