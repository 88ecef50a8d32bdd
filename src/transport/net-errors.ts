import {
  type Advice,
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
} from './advice.js';

const proxy = (text: string, retryable: boolean): Advice => ({
  text: `cannot be reached through the proxy: ${text}`,
  retryable,
  code: 'BITS_ERR_PROXY',
});

const PROXY = proxy('check the proxy of the app or of the system', true);
const PROXY_SET_UP = proxy(
  'check the proxy, and its script, in the settings of the app or of the system',
  true,
);
const PROXY_LOGIN = proxy(
  'it requires authentication: give useSessionCredentials or login to the transport',
  false,
);
const CLIENT_CERTIFICATE = tls(
  'did not accept the client certificate: check the certificate, and that the app selects it',
);
const POLICY = never('was blocked by a policy: ask the administrator');
const IN_APP = never('was blocked by an extension or a filter in the app: allow it there');
const HTTP2 = later(
  'broke off over HTTP/2, while BITS is defined for HTTP/1.1: start the app with the switch disable-http2',
);
const RESOURCES = later('could not be asked: the machine is short of memory or sockets');

/**
 * Chromium's errors, by their name without `net::ERR_`. Chromium tells the name alone: Electron's `net`
 * in the message of an error, and pages not at all.
 */
const NET_ERRORS: Readonly<Record<string, Advice>> = {
  CONNECTION_REFUSED: REFUSED,
  NAME_NOT_RESOLVED: NAME,
  NAME_RESOLUTION_FAILED: NAME,
  ICANN_NAME_COLLISION: NAME,

  CONNECTION_RESET: CUT,
  CONNECTION_CLOSED: CUT,
  CONNECTION_ABORTED: CUT,
  SOCKET_NOT_CONNECTED: CUT,
  EMPTY_RESPONSE: CUT,
  RESPONSE_HEADERS_TRUNCATED: CUT,
  CONTENT_LENGTH_MISMATCH: CUT,
  INCOMPLETE_CHUNKED_ENCODING: CUT,

  CONNECTION_FAILED: UNREACHABLE,
  ADDRESS_UNREACHABLE: UNREACHABLE,
  ADDRESS_INVALID: UNREACHABLE,
  INTERNET_DISCONNECTED: UNREACHABLE,
  NETWORK_CHANGED: UNREACHABLE,
  NETWORK_ACCESS_DENIED: never(
    'cannot be reached: a firewall or a policy of this machine denies the app the network',
  ),
  NETWORK_IO_SUSPENDED: later('was not asked: the machine is about to sleep'),

  INSUFFICIENT_RESOURCES: RESOURCES,
  OUT_OF_MEMORY: RESOURCES,
  ADDRESS_IN_USE: RESOURCES,

  CERT_COMMON_NAME_INVALID: OTHER_NAMES,
  CERT_DATE_INVALID: tls(
    'has a certificate that has expired or is not valid yet: renew it, or check the clock of this machine',
  ),
  CERT_AUTHORITY_INVALID: tls(
    'has a certificate that no trusted authority issued: install its authority on this machine',
  ),
  CERT_REVOKED: REVOKED,
  CLIENT_AUTH_CERT_TYPE_UNSUPPORTED: CLIENT_CERTIFICATE,
  BAD_SSL_CLIENT_AUTH_CERT: CLIENT_CERTIFICATE,
  SSL_CLIENT_AUTH_CERT_NEEDED: tls(
    'requires a client certificate: select one in the app, and give useSessionCredentials to the transport',
  ),
  SSL_CLIENT_AUTH_CERT_NO_PRIVATE_KEY: CLIENT_CERTIFICATE,
  SSL_CLIENT_AUTH_PRIVATE_KEY_ACCESS_DENIED: CLIENT_CERTIFICATE,
  SSL_CLIENT_AUTH_SIGNATURE_FAILED: CLIENT_CERTIFICATE,
  ALPN_NEGOTIATION_FAILED: NOT_TLS,
  NO_SSL_VERSIONS_ENABLED: NOT_TLS,

  TUNNEL_CONNECTION_FAILED: PROXY,
  SOCKS_CONNECTION_FAILED: PROXY,
  SOCKS_CONNECTION_HOST_UNREACHABLE: PROXY,
  HTTPS_PROXY_TUNNEL_RESPONSE_REDIRECT: PROXY_SET_UP,
  UNEXPECTED_PROXY_AUTH: PROXY_SET_UP,
  NO_SUPPORTED_PROXIES: PROXY_SET_UP,
  MANDATORY_PROXY_CONFIGURATION_FAILED: PROXY_SET_UP,
  PAC_SCRIPT_FAILED: PROXY_SET_UP,
  PAC_SCRIPT_TERMINATED: PROXY_SET_UP,
  PAC_NOT_IN_DHCP: PROXY_SET_UP,
  PROXY_AUTH_REQUESTED: PROXY_LOGIN,
  PROXY_AUTH_REQUESTED_WITH_NO_CONNECTION: PROXY,
  PROXY_AUTH_UNSUPPORTED: proxy('it offers no authentication that Chromium knows', false),
  PROXY_CERTIFICATE_INVALID: proxy('its certificate cannot be trusted', false),
  UNABLE_TO_REUSE_CONNECTION_FOR_PROXY_AUTH: PROXY,

  INVALID_RESPONSE: NOT_HTTP,
  INVALID_HTTP_RESPONSE: NOT_HTTP,
  INVALID_CHUNKED_ENCODING: NOT_HTTP,
  RESPONSE_HEADERS_MULTIPLE_CONTENT_LENGTH: NOT_HTTP,
  RESPONSE_HEADERS_MULTIPLE_LOCATION: NOT_HTTP,
  RESPONSE_HEADERS_MULTIPLE_CONTENT_DISPOSITION: NOT_HTTP,
  CONTENT_DECODING_FAILED: NOT_HTTP,
  RESPONSE_HEADERS_TOO_BIG: HEAD_TOO_LARGE,

  UNSAFE_PORT: never('has a port that browsers do not connect to: use another port'),
  BLOCKED_BY_CLIENT: IN_APP,
  BLOCKED_BY_CSP: IN_APP,
  BLOCKED_BY_ORB: IN_APP,
  BLOCKED_BY_RESPONSE: IN_APP,
  BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS: IN_APP,
  BLOCKED_BY_PRIVATE_NETWORK_ACCESS_CHECKS: IN_APP,
  CLEARTEXT_NOT_PERMITTED: never('may not be asked without TLS in this app: use https:'),
  BLOCKED_BY_ADMINISTRATOR: POLICY,
  BLOCKED_ENROLLMENT_CHECK_PENDING: POLICY,
  INVALID_ARGUMENT: never('was not asked: the network stack did not accept the request'),
  INVALID_URL: never('was not asked: the network stack did not accept the URL'),
  DISALLOWED_URL_SCHEME: IN_APP,
  UNKNOWN_URL_SCHEME: IN_APP,
  METHOD_NOT_SUPPORTED: never('was not asked: the network stack did not accept the method'),
  TOO_MANY_REDIRECTS: never('redirects without end: check the URL'),
  INVALID_REDIRECT: never('redirects to what is not a URL: check the server'),
  UNSAFE_REDIRECT: never('redirects to where no upload may go: check the server'),
};

/** Families of names, for those that are not listed. */
const FAMILIES: readonly (readonly [RegExp, Advice])[] = [
  [/^CERT_/, NO_TRUST],
  [/^(SSL|ECH)_/, NOT_TLS],
  [/^PROXY_/, PROXY],
  [/^DNS_/, NAME],
  [/^(HTTP2|QUIC|INCOMPLETE_HTTP2|HTTP_1_1_REQUIRED)/, HTTP2],
];

/** @param code with `net::ERR_` in front */
export function netErrorAdvice(code: string): Advice | undefined {
  const name = code.replace(/^net::ERR_/, '');
  return NET_ERRORS[name] ?? FAMILIES.find(([family]) => family.test(name))?.[1];
}
