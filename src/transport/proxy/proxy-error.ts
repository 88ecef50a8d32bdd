import {
  type BitsServerError,
  BitsTimeoutError,
  BitsTransportError,
  isBitsError,
} from '../../errors.js';
import type { WireHeaders } from '../../protocol/packets.js';
import { authRefusedError } from '../auth/auth-error.js';
import { parseChallenges } from '../auth/challenges.js';
import { toTransportFailure } from '../failure.js';
import type { ProxyServer } from './proxy-server.js';

/** The connection to the proxy itself failed. */
export function proxyUnreachable(error: unknown, proxy: ProxyServer): Error {
  const name = `The proxy ${proxy.host}`;
  if (isBitsError(error)) return error;
  const failure = toTransportFailure(error, name);
  if (failure instanceof BitsTimeoutError) return failure;
  return new BitsTransportError(failure.message.replaceAll('tls.ca', 'proxy.tls.ca'), {
    code: 'BITS_ERR_PROXY',
    retryable: failure.retryable,
    cause: failure.cause,
  });
}

/** The proxy answered, and not as it should have. */
export function proxyFailed(
  proxy: ProxyServer,
  text: string,
  options: { readonly retryable: boolean; readonly cause?: unknown },
): BitsTransportError {
  return new BitsTransportError(`The proxy ${proxy.host} ${text}`, {
    code: 'BITS_ERR_PROXY',
    ...options,
  });
}

/** The proxy wants to know who one is, and nobody told. */
export function proxyAsks(proxy: ProxyServer, headers: WireHeaders): BitsServerError {
  const offers = parseChallenges(headers['proxy-authenticate']);
  const names = [...new Set(offers.map(({ scheme }) => scheme))].slice(0, 5).join(', ');
  return authRefusedError(
    `The proxy ${proxy.host} asks for authentication (407${names && `, ${names}`}): give a username and a password in the option proxy, or in the proxy's URL`,
    true,
  );
}

/** The credentials are wrong, and trying them again could lock the account. */
export function proxyRefuses(proxy: ProxyServer): BitsServerError {
  return authRefusedError(refusedText(proxy), true);
}

export function refusedText(proxy: ProxyServer): string {
  return `The proxy ${proxy.host} refused the credentials: check the user name and password for the proxy, and that the account is not locked or expired`;
}

/** The proxy will not, or cannot, make a tunnel. */
export function tunnelRefused(
  proxy: ProxyServer,
  target: string,
  status: number,
): BitsTransportError {
  const what = `The proxy ${proxy.host} made no tunnel to ${target} (CONNECT was answered with ${status})`;
  const { advice, retryable } = adviceFor(status);
  return new BitsTransportError(`${what}: ${advice}`, { code: 'BITS_ERR_PROXY', retryable });
}

function adviceFor(status: number): { readonly advice: string; readonly retryable: boolean } {
  if (status === 403 || status === 401) {
    return {
      advice: 'its rules forbid this host, port or user: ask who runs the proxy',
      retryable: false,
    };
  }
  if ([502, 503, 504].includes(status)) {
    return {
      advice:
        'it could not reach the server: check the host name, and that the proxy can get there',
      retryable: true,
    };
  }
  if ([400, 404, 405, 501, 505].includes(status)) {
    return { advice: 'check that this is a proxy, and that it allows CONNECT', retryable: false };
  }
  const retryable = status >= 500 || status === 408 || status === 429;
  return {
    advice: retryable ? 'it failed for now: check its log' : 'check the proxy and its log',
    retryable,
  };
}
