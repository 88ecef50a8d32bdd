import { errorChain, isErrorLike, propertyOf } from '../common/error-like.js';
import {
  BitsArgumentError,
  type BitsError,
  BitsStateError,
  BitsTimeoutError,
  BitsTransportError,
  isBitsError,
} from '../errors.js';
import {
  type Advice,
  CLIENT_CERTIFICATE,
  CUT,
  HEAD_TOO_LARGE,
  later,
  NAME,
  NO_TRUST,
  NOT_HTTP,
  NOT_TLS,
  never,
  OTHER_NAMES,
  REFUSED,
  REVOKED,
  tls,
  UNREACHABLE,
  UNTRUSTED,
} from './advice.js';
import { netErrorAdvice } from './net-errors.js';

/** By `code`; those of Node, OpenSSL and undici. */
const ADVICE: Readonly<Record<string, Advice>> = {
  ECONNREFUSED: REFUSED,
  ENOTFOUND: NAME,
  EAI_AGAIN: later('cannot be looked up at the moment: check the DNS server and the network'),
  ECONNRESET: CUT,
  EPIPE: CUT,
  ECONNABORTED: CUT,
  UND_ERR_SOCKET: CUT,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: CUT,
  HPE_INVALID_EOF_STATE: CUT,
  ENETUNREACH: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  ENETDOWN: UNREACHABLE,
  EADDRNOTAVAIL: UNREACHABLE,
  CERT_HAS_EXPIRED: tls('has an expired certificate: renew it, or check the clock of this machine'),
  CERT_NOT_YET_VALID: tls(
    'has a certificate that is not valid yet: check the clock of this machine',
  ),
  DEPTH_ZERO_SELF_SIGNED_CERT: tls(
    'has a self-signed certificate: give that certificate in tls.ca to trust it',
  ),
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_UNTRUSTED: UNTRUSTED,
  CERT_REVOKED: REVOKED,
  ERR_TLS_CERT_ALTNAME_INVALID: OTHER_NAMES,
  EPROTO: NOT_TLS,
  ERR_ACCESS_DENIED: never('may not be reached under --permission: give --allow-net'),
  UND_ERR_HEADERS_OVERFLOW: HEAD_TOO_LARGE,
  HEAD_TOO_LARGE,
  UNASKED_BYTES: later('sent data before it was asked: check the port, and proxies in between'),
};

/** What a server says of the certificate that it asked for, with TLS 1.3 after the handshake. */
const CERTIFICATE_ALERT = /^ERR_SSL_\w+_ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)$/;

/** Families of codes, for those that are not listed. */
const FAMILIES: readonly (readonly [RegExp, Advice])[] = [
  [/^HPE_/, NOT_HTTP],
  [/^CERT_|^(INVALID|UNSUITABLE|HOSTNAME_MISMATCH|CRL_)/, NO_TRUST],
  [CERTIFICATE_ALERT, CLIENT_CERTIFICATE],
  [/^ERR_(SSL|TLS|OSSL)_/, NOT_TLS],
];

function adviceOn(code: string | undefined): Advice | undefined {
  if (code === undefined) return undefined;
  if (code.startsWith('net::')) return netErrorAdvice(code);
  return ADVICE[code] ?? FAMILIES.find(([family]) => family.test(code))?.[1];
}

/** Whether a server ended the connection because of the client certificate, or the lack of one. */
export function isCertificateAlert(error: unknown): boolean {
  return CERTIFICATE_ALERT.test(failureCode(error) ?? '');
}

/** The first code in an error and what caused it, as OpenSSL, the system or a parser reported it. */
export function failureCode(error: unknown): string | undefined {
  for (const at of errorChain(error)) {
    const code = propertyOf(at, 'code');
    if (typeof code === 'string') return code;
    // undici 7 and 8 leave the code of their parser's errors undefined.
    if (at.name === 'HTTPParserError') {
      return at.message.includes('Invalid EOF') ? 'HPE_INVALID_EOF_STATE' : 'HPE_UNKNOWN';
    }
    const chromium = /\bnet::ERR_[A-Z0-9_]+/.exec(at.message)?.[0];
    if (chromium !== undefined) return chromium;
  }
  return undefined;
}

const CONNECTING = new Set(['connect', 'getaddrinfo']);
const UNCONNECTED = new Set([
  'net::ERR_CONNECTION_REFUSED',
  'net::ERR_NAME_NOT_RESOLVED',
  'net::ERR_ADDRESS_UNREACHABLE',
  'net::ERR_INTERNET_DISCONNECTED',
]);

/** Notes that nothing of the request was sent. */
export function unsentFailure(failure: BitsError): BitsError {
  return failure.code === 'BITS_ERR_ABORTED' ? failure : Object.assign(failure, { unsent: true });
}

/** Notes that a connection which had been used before broke before any byte of the answer came. */
export function staleConnectionFailure(failure: BitsError): BitsError {
  return Object.assign(failure, { staleConnection: true });
}

/**
 * True when a connection that had been used before broke before any byte of the answer came: most
 * likely the server had closed it without saying so, and the request is worth another try at once.
 * Whether the server saw the request is not known.
 */
export function hadStaleConnection(error: unknown): boolean {
  return isBitsError(error) && propertyOf(error, 'staleConnection') === true;
}

/** True for a failure before there was a connection: the server cannot have seen the request. */
export function neverConnected(error: unknown): boolean {
  if (isBitsError(error) && propertyOf(error, 'unsent') === true) return true;
  if (isBitsError(error) && error.code === 'BITS_ERR_PROXY') return true;
  for (const at of errorChain(error)) {
    const syscall = propertyOf(at, 'syscall');
    if (typeof syscall === 'string') return CONNECTING.has(syscall);
  }
  const cause = isBitsError(error) ? error.cause : error;
  return UNCONNECTED.has(failureCode(cause) ?? '');
}

/** The error of a parser carries the bytes that it failed on, which are not for logs. */
function withoutAnswerBytes(error: unknown): unknown {
  if (!isErrorLike(error) || !('data' in error)) return error;
  const bare = new Error(error.message);
  bare.name = error.name;
  return bare;
}

/**
 * What a failed request means to the user.
 *
 * @param host for the message: never more of a URL, whose path and query may hold secrets.
 */
export function toTransportFailure(error: unknown, host: string): BitsError {
  if (isBitsError(error)) return error;
  const code = failureCode(error);
  const cause = withoutAnswerBytes(error);
  switch (code) {
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
    case 'ERR_INVALID_ARG_VALUE':
      return new BitsArgumentError(`The request to ${host} cannot be sent as it is`, { cause });
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return new BitsStateError(
        `The dispatcher of fetch is closed, and ${host} cannot be reached over it`,
      );
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
    case 'ETIMEDOUT':
    case 'net::ERR_TIMED_OUT':
    case 'net::ERR_CONNECTION_TIMED_OUT':
      return new BitsTimeoutError(
        `${host} did not respond in time (${code}): check the network, firewalls and the server`,
        { cause },
      );
    default: {
      const advice = adviceOn(code);
      const text = advice?.text ?? 'could not be asked: see the cause of this error';
      return new BitsTransportError(`${host} ${text}${code === undefined ? '' : ` (${code})`}`, {
        cause,
        retryable: advice?.retryable ?? true,
        code: advice?.code ?? 'BITS_ERR_TRANSPORT',
      });
    }
  }
}
