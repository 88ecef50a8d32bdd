import { BitsTimeoutError, BitsTransportError, isBitsError } from '../../errors.js';
import { type Advice, later, never } from '../advice.js';
import { toTransportFailure } from '../failure.js';
import type { ProxyServer } from './proxy-server.js';

/** The connection to the proxy itself failed. */
export function proxyUnreachable(error: unknown, proxy: ProxyServer): Error {
  if (isBitsError(error)) return error;
  const failure = toTransportFailure(error, `The proxy ${proxy.host}`);
  if (failure instanceof BitsTimeoutError) return failure;
  return new BitsTransportError(failure.message.replaceAll('tls.ca', 'proxy.tls.ca'), {
    code: 'BITS_ERR_PROXY',
    retryable: failure.retryable,
    cause: failure.cause,
  });
}

/** The proxy answered in a way that it should not. */
function proxyFailed(proxy: ProxyServer, { text, retryable }: Advice): BitsTransportError {
  return new BitsTransportError(`The proxy ${proxy.host} ${text}`, {
    code: 'BITS_ERR_PROXY',
    retryable,
  });
}

export function notProxy(proxy: ProxyServer): BitsTransportError {
  const kind = proxy.kind === 'http' ? 'an HTTP' : 'a SOCKS5';
  const text = `does not answer as ${kind} proxy does: check its address and kind`;
  return proxyFailed(proxy, never(text));
}

/** A server behind a tunnel speaks before it is asked only in HTTP, to say that it is busy. */
export function dataOfItsOwn(proxy: ProxyServer, data: Buffer): BitsTransportError {
  const text =
    'sent data of its own into the tunnel: check its address, the port of the server, and what runs there';
  return proxyFailed(proxy, { text, retryable: data.toString('latin1').startsWith('HTTP/') });
}

export const FORBIDDEN = never(
  'its rules forbid this host, port or user: ask the administrator of the proxy',
);

export const SERVER_UNREACHABLE = later(
  'it could not reach the server: check the host name, and that the proxy can reach it',
);

/**
 * The proxy refused or failed to make a connection.
 *
 * @param target `host:port`
 */
export function tunnelRefused(
  proxy: ProxyServer,
  target: string,
  { text, retryable }: Advice,
): BitsTransportError {
  return proxyFailed(proxy, { text: `made no connection to ${target}: ${text}`, retryable });
}

/** For an answer to CONNECT. */
export function adviceFor(status: number): Advice {
  const { text, retryable } = untold(status);
  return { text: `${text} (it answered CONNECT with ${status})`, retryable };
}

function untold(status: number): Advice {
  if (status === 403 || status === 401) return FORBIDDEN;
  if ([502, 503, 504].includes(status)) return SERVER_UNREACHABLE;
  if ([400, 404, 405, 501, 505].includes(status)) {
    return never('check that this is a proxy, and that it allows CONNECT');
  }
  return status >= 500 || status === 408 || status === 429
    ? later('it failed temporarily: check its log')
    : never('check the proxy and its log');
}
