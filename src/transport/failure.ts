import { errorChain, isErrorLike, propertyOf } from '../common/error-like.js';
import {
  BitsArgumentError,
  type BitsError,
  BitsStateError,
  BitsTimeoutError,
  BitsTransportError,
  isBitsError,
} from '../errors.js';

interface Advice {
  /** Follows the host's name. */
  readonly text: string;
  readonly retryable: boolean;
  readonly code?: 'BITS_ERR_TLS' | 'BITS_ERR_PROXY';
}

const later = (text: string): Advice => ({ text, retryable: true });
const never = (text: string): Advice => ({ text, retryable: false });
const tls = (text: string): Advice => ({ text, retryable: false, code: 'BITS_ERR_TLS' });

const UNTRUSTED = tls(
  'has a certificate that no trusted authority issued: give its authority in tls.ca',
);
const NAME = later('has no address: check the host name and the DNS server');
const CUT = later(
  'closed the connection before its answer was complete: check the server, and proxies and time limits in between',
);
const UNREACHABLE = later('cannot be reached: check the network, routes and VPN');
const NOT_HTTP = never(
  'gave an answer that is not HTTP/1.1: check the port, and that http: and https: are not mixed up',
);
const HEAD_TOO_LARGE = never(
  'sent a larger answer head than HTTP clients accept (16 KiB): check what answers there',
);
const NOT_TLS = tls(
  'could not agree on TLS: check that the port speaks https:, and the TLS versions and certificates of both sides',
);

/** By `code`; those of Node, OpenSSL and undici, and Chromium's without `net::`. */
const ADVICE: Readonly<Record<string, Advice>> = {
  ECONNREFUSED: later('refused the connection: check the port, and that the server is running'),
  ERR_CONNECTION_REFUSED: later(
    'refused the connection: check the port, and that the server is running',
  ),
  ENOTFOUND: NAME,
  EAI_AGAIN: later('cannot be looked up at the moment: check the DNS server and the network'),
  ERR_NAME_NOT_RESOLVED: NAME,
  ECONNRESET: CUT,
  EPIPE: CUT,
  ECONNABORTED: CUT,
  UND_ERR_SOCKET: CUT,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: CUT,
  HPE_INVALID_EOF_STATE: CUT,
  ERR_CONNECTION_RESET: CUT,
  ERR_CONNECTION_CLOSED: CUT,
  ERR_EMPTY_RESPONSE: CUT,
  ERR_CONTENT_LENGTH_MISMATCH: CUT,
  ERR_INCOMPLETE_CHUNKED_ENCODING: CUT,
  ENETUNREACH: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  ENETDOWN: UNREACHABLE,
  EADDRNOTAVAIL: UNREACHABLE,
  ERR_ADDRESS_UNREACHABLE: UNREACHABLE,
  ERR_INTERNET_DISCONNECTED: UNREACHABLE,
  ERR_NETWORK_CHANGED: UNREACHABLE,
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
  CERT_REVOKED: tls('has a revoked certificate'),
  ERR_TLS_CERT_ALTNAME_INVALID: tls(
    'has a certificate for other names: use a name that the certificate holds',
  ),
  EPROTO: NOT_TLS,
  ERR_UNSAFE_PORT: never('has a port that browsers do not connect to: use another port'),
  ERR_BLOCKED_BY_CLIENT: never(
    'was blocked by an extension or a filter in the app: allow it there',
  ),
  ERR_BLOCKED_BY_ADMINISTRATOR: never('was blocked by a policy: ask the administrator'),
  ERR_INVALID_ARGUMENT: never('was not asked: the network stack did not accept the request'),
  ERR_TOO_MANY_REDIRECTS: never('redirects without end: check the URL'),
  ERR_NETWORK_IO_SUSPENDED: later('was not asked: the machine is about to sleep'),
  ERR_BAD_SSL_CLIENT_AUTH_CERT: tls('did not accept the client certificate: check the certificate'),
  ERR_ACCESS_DENIED: never('may not be reached under --permission: give --allow-net'),
  UND_ERR_HEADERS_OVERFLOW: HEAD_TOO_LARGE,
  HEAD_TOO_LARGE,
  UNASKED_BYTES: later('sent data before it was asked: check the port, and proxies in between'),
};

/** Families of codes, for those that are not listed. */
const FAMILIES: readonly (readonly [RegExp, Advice])[] = [
  [/^HPE_|^ERR_INVALID_HTTP_RESPONSE$/, NOT_HTTP],
  [
    /^CERT_|^ERR_CERT_|^(INVALID|UNSUITABLE|HOSTNAME_MISMATCH|CRL_)/,
    tls('has a certificate that cannot be trusted: check the certificate'),
  ],
  [/^ERR_(SSL|TLS|OSSL)_/, NOT_TLS],
  [
    /^ERR_(PROXY_|TUNNEL_CONNECTION_FAILED)/,
    {
      text: 'cannot be reached through the proxy: check the proxy of the app or of the system',
      retryable: true,
      code: 'BITS_ERR_PROXY',
    },
  ],
];

/** The first code in an error and what caused it. */
function failureCode(error: unknown): string | undefined {
  for (const at of errorChain(error)) {
    const code = propertyOf(at, 'code');
    if (typeof code === 'string') return code;
    // undici 7 and 8 leave the code of their parser's errors undefined.
    if (at.name === 'HTTPParserError') {
      return at.message.includes('Invalid EOF') ? 'HPE_INVALID_EOF_STATE' : 'HPE_UNKNOWN';
    }
    const chromium = /\bnet::(ERR_[A-Z0-9_]+)/.exec(at.message)?.[1];
    if (chromium !== undefined) return chromium;
  }
  return undefined;
}

const CONNECTING = new Set(['connect', 'getaddrinfo']);
const UNCONNECTED = new Set([
  'ERR_CONNECTION_REFUSED',
  'ERR_NAME_NOT_RESOLVED',
  'ERR_ADDRESS_UNREACHABLE',
  'ERR_INTERNET_DISCONNECTED',
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
    case 'ERR_TIMED_OUT':
    case 'ERR_CONNECTION_TIMED_OUT':
      return new BitsTimeoutError(
        `${host} did not respond in time (${code}): check the network, firewalls and the server`,
        { cause },
      );
    default: {
      const advice =
        code === undefined
          ? undefined
          : (ADVICE[code] ?? FAMILIES.find(([family]) => family.test(code))?.[1]);
      const text = advice?.text ?? 'could not be asked: see the cause of this error';
      return new BitsTransportError(`${host} ${text}${code === undefined ? '' : ` (${code})`}`, {
        cause,
        retryable: advice?.retryable ?? true,
        code: advice?.code ?? 'BITS_ERR_TRANSPORT',
      });
    }
  }
}
