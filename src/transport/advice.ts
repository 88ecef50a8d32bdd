/** What a code of a failure means to the user. */
export interface Advice {
  /** The end of a sentence about a host. */
  readonly text: string;
  readonly retryable: boolean;
  readonly code?: 'BITS_ERR_TLS' | 'BITS_ERR_PROXY';
}

export const later = (text: string): Advice => ({ text, retryable: true });
export const never = (text: string): Advice => ({ text, retryable: false });
export const tls = (text: string): Advice => ({ text, retryable: false, code: 'BITS_ERR_TLS' });

export const UNTRUSTED = tls(
  'has a certificate that no trusted authority issued: give its authority in tls.ca',
);
export const OTHER_NAMES = tls(
  'has a certificate for other names: use a name that the certificate holds',
);
export const REVOKED = tls('has a revoked certificate');
export const NO_TRUST = tls('has a certificate that cannot be trusted: check the certificate');
export const NOT_TLS = tls(
  'could not agree on TLS: check that the port speaks https:, and the TLS versions and certificates of both sides',
);
export const CLIENT_CERTIFICATE = tls(
  'requires a client certificate, or does not accept the one it got: check tls.cert',
);
export const NAME = later('has no address: check the host name and the DNS server');
export const REFUSED = later(
  'refused the connection: check the port, and that the server is running',
);
export const CUT = later(
  'closed the connection before its answer was complete: check the server, and proxies and time limits in between',
);
export const UNREACHABLE = later('cannot be reached: check the network, routes and VPN');
export const NOT_HTTP = never(
  'gave an answer that is not HTTP/1.1: check the port, and that http: and https: are not mixed up',
);
export const HEAD_TOO_LARGE = never(
  'sent a larger answer head than HTTP clients accept: check what answers there',
);
