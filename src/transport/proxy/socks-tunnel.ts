import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import type { SocksClientError } from 'socks';
import { nextTurn } from '../../common/clock.js';
import { isBitsError } from '../../errors.js';
import { authSetupError } from '../auth/auth-error.js';
import { secretOf } from '../auth/credentials.js';
import { processVerdicts, Trial } from '../auth/verdicts.js';
import { proxyPeer } from './proxy-auth.js';
import {
  dataOfItsOwn,
  FORBIDDEN,
  notProxy,
  proxyUnreachable,
  SERVER_UNREACHABLE,
  tunnelRefused,
} from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

const REFUSED = /Authentication failed/i;

/**
 * Asks a SOCKS5 proxy (RFC 1928, RFC 1929) for a connection to a server.
 * @param target IPv6 without brackets
 * @param signal aborts when nobody waits for the connection any more
 * @param timeoutMs the package keeps the socket, and the password, in memory for so long, however it ends
 * @throws BITS_ERR_PROXY, BITS_ERR_AUTH, BITS_ERR_TIMEOUT
 */
export async function openSocksTunnel(
  socket: Socket,
  { hostname, port }: { readonly hostname: string; readonly port: number },
  proxy: ProxyServer,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<void> {
  const host = proxy.looksUpHere ? (await lookup(hostname)).address : hostname;
  const peer = proxyPeer(proxy);
  const secret = proxy.credentials && secretOf(proxy.credentials);
  const trial = new Trial(peer, processVerdicts);
  if (secret !== undefined) await trial.begin(secret, signal);
  try {
    const begun = await connect(socket, { host, port }, proxy, timeoutMs);
    if (secret !== undefined) processVerdicts.set(peer, secret, 'accepted');
    if (begun !== undefined) throw dataOfItsOwn(proxy, begun);
  } catch (error) {
    const { message } = error as SocksClientError;
    if (secret !== undefined && REFUSED.test(message)) processVerdicts.set(peer, secret, 'refused');
    throw isBitsError(error) ? error : socksFailure(message, `${hostname}:${port}`, proxy);
  } finally {
    trial.end();
  }
}

/** @returns what came through the connection before anything was sent. */
async function connect(
  socket: Socket,
  destination: { readonly host: string; readonly port: number },
  { credentials, hostname, port }: ProxyServer,
  timeoutMs: number,
): Promise<Buffer | undefined> {
  const { SocksClient } = await import('socks');
  await SocksClient.createConnection({
    command: 'connect',
    destination,
    proxy: {
      host: hostname,
      port,
      type: 5,
      ...(credentials && { userId: credentials.username, password: credentials.password }),
    },
    existing_socket: socket,
    timeout: timeoutMs,
  });
  let begun: Buffer | undefined;
  const note = (data: Buffer) => {
    begun ??= data;
  };
  // The package emits what came behind the reply a turn later.
  socket.on('data', note);
  await nextTurn();
  socket.off('data', note);
  return begun;
}

/** Never with the cause: it contains the password. */
function socksFailure(message: string, target: string, proxy: ProxyServer): Error {
  const title = `The proxy ${proxy.host}`;
  if (REFUSED.test(message)) {
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
  const code = /timed ?out/i.test(message) ? 'ETIMEDOUT' : 'ECONNRESET';
  if (/timed ?out|socket closed|ECONNRESET|EPIPE/i.test(message)) {
    return proxyUnreachable(Object.assign(new Error(message), { code }), proxy);
  }
  return notProxy(proxy);
}
