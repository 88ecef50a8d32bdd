import type { BitsError } from '../errors.js';
import { failureCode } from '../transport/failure.js';
import { dayOf, type ShownCertificate } from './certificate.js';

// What only a diagnosis knows: messages of errors say the rest (protocol/answers.ts, transport/failure.ts).

export function dnsAdvice(name: string): string {
  return `look the name up on this machine (nslookup ${name}); if other machines find it, check the DNS servers and search domains of this one, and whether the VPN is connected`;
}

export function tcpAdvice(error: BitsError, port: number): string | undefined {
  if (error.code === 'BITS_ERR_TIMEOUT') {
    return `nothing answers: a firewall drops packets to port ${port}, or the address is out of date`;
  }
  if (failureCode(error.cause) === 'ECONNREFUSED') {
    return `the machine is reachable, but nothing listens on port ${port}: check the bindings of the web site and that it is started; a firewall may refuse connections, too`;
  }
  return undefined;
}

/** What is wrong with a certificate, and who can correct it. */
export function tlsAdvice(
  error: BitsError,
  url: URL,
  certificate: ShownCertificate | undefined,
): string {
  if (certificate === undefined) {
    return error.code === 'BITS_ERR_TIMEOUT'
      ? 'the port accepts connections and sends nothing: check which program listens there, and whether it speaks TLS'
      : 'the server showed no certificate: check whether the port speaks https:, which TLS versions both sides allow, and whether the server requires a client certificate';
  }
  const { names, topIssuer, topIsRoot, isSelfSigned, chainLength } = certificate;
  const code = failureCode(error.cause);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `use one of the names of the certificate in the URL (${names.slice(0, 4).join(', ')}), or get a certificate for ${url.hostname}; if the URL cannot change, tls.servername says which name to expect`;
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return `renew the certificate: it ended on ${dayOf(certificate.validTo)}; if that day is not over, correct the clock of this machine`;
  }
  if (code === 'CERT_NOT_YET_VALID') {
    return `the certificate begins on ${dayOf(certificate.validFrom)}: correct the clock of this machine`;
  }
  if (isSelfSigned) {
    return 'if this is the right certificate, save it as PEM and trust it with tls.ca';
  }
  if (topIsRoot || code === 'SELF_SIGNED_CERT_IN_CHAIN') {
    return `get the certificate of the authority ${topIssuer} as PEM from a source that you trust, and give it in tls.ca; if this is not your authority, a proxy on the way decrypts TLS`;
  }
  return `the server sent ${chainLength === 1 ? 'one certificate' : `${chainLength} certificates`}, the last one issued by ${topIssuer}, which is not trusted here: if ${topIssuer} is an intermediate authority, install its certificate on the server; otherwise give the certificate of the authority in tls.ca`;
}

export function proxyAdvice(error: BitsError, host: string): string | undefined {
  if (error.code === 'BITS_ERR_AUTH') return undefined;
  if (error.code === 'BITS_ERR_TIMEOUT') {
    return 'check that the proxy runs at this address and port, and that it can reach the server';
  }
  return `if uploads should not use the proxy, add ${host} to NO_PROXY or noProxy; otherwise ask the operator of the proxy to allow connections to ${host}`;
}

/** @param given what the caller gave to authenticate with */
export function authAdvice(offers: readonly string[], given: 'none' | 'header' | 'auth'): string {
  if (given === 'none') {
    const ticket = offers.includes('Negotiate') ? ', a Kerberos ticket (auth.kerberos)' : '';
    const token = offers.includes('Bearer') ? ', a token (auth.token)' : '';
    return `give a user name and a password (auth.credentials)${ticket}${token}, or allow anonymous access to the directory`;
  }
  return 'check the account (name, domain, locked, expired), and the substatus in the log of the server: IIS 401.1 is a wrong password, 401.2 a scheme that is not enabled, 401.3 an ACL of the directory';
}

export const CLIENT_CERTIFICATE_ADVICE =
  'the server closed the connection after the TLS handshake, as servers do that require a client certificate: give one in tls.cert and tls.key';

export const OVERRIDE_ADVICE =
  'the same Ping is accepted as POST with X-HTTP-Method-Override, so something on the way blocks the verb: allow BITS_POST there, or use methodOverride';

export const NOT_BITS_ADVICE =
  'the answer is a login page of the network, a page of a proxy, or a web application at this path: open the URL in a browser on this machine';

/** @param status of a HEAD for the directory of a URL that was not found */
export function directoryAdvice(status: number): string {
  return status === 404
    ? 'the directory of the URL is not found either: check the path and the name of the virtual directory'
    : `the directory itself exists (HEAD is answered with ${status}), so uploads or the verb are blocked there: in the log of IIS 404.6 is a blocked verb, 404.0 a path that does not exist or does not allow uploads`;
}
