import { errorChain } from '../common/error-like.js';
import type { BitsError, BitsServerError } from '../errors.js';
import {
  BG_E_SERVER_EXECUTE_ENABLE,
  BG_E_TOO_LARGE,
  E_ACCESSDENIED,
  E_INVALIDARG,
} from '../protocol/hresult.js';
import { dayOf, type ShownCertificate } from './certificate.js';

/** What OpenSSL or the system said, below what this package says. */
export function causeCode(error: BitsError): string {
  for (const at of errorChain(error.cause)) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string') return code;
  }
  return '';
}

export function dnsAdvice(name: string): string {
  return `look the name up on this machine (nslookup ${name}); if others can, look at its DNS servers, its search domains and whether the VPN is connected`;
}

export function tcpAdvice(error: BitsError, port: number): string {
  if (error.code === 'BITS_ERR_TIMEOUT') {
    return `nothing answers at all: a firewall on the way, or on the server, drops packets to port ${port}, or the address is an old one`;
  }
  if (causeCode(error) === 'ECONNREFUSED') {
    return `the machine is there but nothing listens on port ${port}: look at the bindings of the web site, and that it is started; a firewall can refuse connections, too`;
  }
  return 'look at the network of this machine: cable, Wi-Fi, VPN and routes';
}

/** What is wrong with a certificate, and who can put it right. */
export function tlsAdvice(
  error: BitsError,
  url: URL,
  certificate: ShownCertificate | undefined,
): string {
  const code = causeCode(error);
  if (certificate === undefined) {
    return error.code === 'BITS_ERR_TIMEOUT'
      ? 'the port takes connections and says nothing: look at what listens there, and whether it speaks TLS'
      : 'no certificate was shown: look whether the port speaks https: at all, which TLS versions both sides allow, and whether the server asks for a client certificate';
  }
  const { names, topIssuer, topIsRoot, isSelfSigned, chainLength } = certificate;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `use one of the certificate's names in the URL (${names.slice(0, 4).join(', ')}), or have a certificate issued for ${url.hostname}; where the name in the URL cannot change, the option tls.servername says which name to expect`;
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return `have the certificate renewed: it ended on ${dayOf(certificate.validTo)}; if that day is not over, the clock of this machine is wrong`;
  }
  if (code === 'CERT_NOT_YET_VALID') {
    return `it begins on ${dayOf(certificate.validFrom)}: look at the clock of this machine`;
  }
  if (isSelfSigned) {
    return 'if it is the right one, save the certificate in PEM and trust it: --cacert FILE, or the option tls.ca';
  }
  if (topIsRoot || code === 'SELF_SIGNED_CERT_IN_CHAIN') {
    return `get the certificate of the authority ${topIssuer} in PEM, from a channel that you trust, and give it: --cacert FILE, or the option tls.ca; if that is not your authority, a proxy on the way opens TLS`;
  }
  return `the server sent ${chainLength === 1 ? 'one certificate' : `${chainLength} certificates`}, the last one issued by ${topIssuer}, which is not trusted here: if that is an intermediate, have it installed on the server; else give the authority's certificate: --cacert FILE, or the option tls.ca`;
}

export function proxyAdvice(error: BitsError, host: string): string {
  if (error.code === 'BITS_ERR_AUTH') {
    return 'give the user name and password of the proxy: --proxy-user NAME with BITS_UPLOAD_PROXY_PASSWORD, or the option proxy';
  }
  if (error.code === 'BITS_ERR_TIMEOUT') {
    return 'look whether the proxy runs at that address and port, and whether it can reach the server';
  }
  return `if uploads should go past the proxy, name ${host} in NO_PROXY (--noproxy); else ask whoever runs the proxy to let this machine reach ${host}`;
}

/** For an answer that no credentials could turn into another. */
export function authAdvice(offers: readonly string[], given: 'none' | 'header' | 'auth'): string {
  if (given === 'none') {
    const ticket = offers.includes('Negotiate') ? ', or --negotiate with a Kerberos ticket' : '';
    const token = offers.includes('Bearer') ? ', or BITS_UPLOAD_OAUTH2_BEARER' : '';
    return `give credentials: --user NAME with BITS_UPLOAD_PASSWORD${ticket}${token}; or have anonymous access allowed for the directory`;
  }
  return 'look at the account (name, domain, locked, expired), and in the log of the server at its substatus: IIS 401.1 is a wrong password, 401.2 a scheme that is not enabled, 401.3 an ACL of the directory';
}

export const CLIENT_CERTIFICATE_ADVICE =
  'the server ended TLS after the handshake, as one that wants a client certificate does: --cert FILE and --key FILE, or the options tls.cert and tls.key';

/** What else was found out about a refused Ping. */
export interface PingTrial {
  readonly overrideTaken: boolean;
  /** Of a HEAD for the directory. */
  readonly directoryStatus: number | undefined;
}

export function pingAdvice(error: BitsError, url: URL, trial: PingTrial | undefined): string {
  const advice = adviceFor(error, trial?.directoryStatus, url);
  return trial?.overrideTaken
    ? `the same Ping is taken as POST with X-HTTP-Method-Override, so it is the verb that something in between blocks: allow BITS_POST there, or use methodOverride (--method-override); ${advice}`
    : advice;
}

function adviceFor(error: BitsError, directoryStatus: number | undefined, url: URL): string {
  if (error.code === 'BITS_ERR_NOT_BITS') {
    return 'something else than BITS answers, and says that all is well: a login page of the network, the page of a proxy, or a web application at this path; open the URL in a browser on this machine';
  }
  if (error.code === 'BITS_ERR_TIMEOUT') {
    return 'the connection stands and no answer comes: look at the application pool of the site, at other requests that hang, and at filters that inspect requests';
  }
  switch ((error as Partial<BitsServerError>).status) {
    case 405:
      return 'a verb filter: look at the HTTP verbs in the request filtering of IIS, at the WebDAV module, and at the rules of firewalls and proxies in front, which may allow GET and POST only';
    case 404:
      return notFoundAdvice(directoryStatus);
    case 400:
      return url.protocol === 'https:'
        ? 'a front end may refuse verbs that it does not know, or want a client certificate (--cert): look at its error log'
        : 'a front end may refuse verbs that it does not know, or want https: look at its error log';
    case 501:
      return 'BITS uploads are not enabled for the directory (BITSUploadEnabled; on IIS the feature "BITS Server Extension" and the setting "Allow clients to upload files"), or a front end does not know the verb';
    case 403:
      return 'look at the ACL of the directory for the account, at rules by address, and at "SSL settings" of IIS: 403.4 wants https, 403.7 a client certificate';
    case 413:
      return 'a front end refuses requests even without a body: look at its limits';
    case 502:
    case 503:
    case 504:
      return 'the front end answers and the server behind it does not: look at the application pool, and at the address that the front end sends to';
    default:
      return 'look at the log of the server, and of each front end, for the time of this request';
  }
}

function notFoundAdvice(directoryStatus: number | undefined): string {
  if (directoryStatus === 404) {
    return 'the directory of the URL is not found either: look at the path, and at the name of the virtual directory';
  }
  const there =
    directoryStatus === undefined
      ? ''
      : `the directory itself is there (HEAD is answered with ${directoryStatus}): `;
  return `${there}look whether BITS uploads are enabled for the virtual directory, and at the HTTP verbs in request filtering: IIS 404.6 in the log is a blocked verb, 404.0 a path that does not exist or has uploads off`;
}

export function createAdvice(error: BitsError): string {
  const { hresult, status } = error as Partial<BitsServerError>;
  if (error.code === 'BITS_ERR_AUTH') return authAdvice([], 'auth');
  if (hresult === BG_E_TOO_LARGE) {
    return 'BITSMaximumUploadSize of the directory is smaller than any file: set it anew';
  }
  if (hresult === BG_E_SERVER_EXECUTE_ENABLE) {
    return 'take script and execute permissions from the virtual directory: BITS takes no uploads where they could run';
  }
  if (status === 403 || hresult === E_ACCESSDENIED) {
    return 'look at the ACL: the account needs to create files in the directory, and the identity of the application pool needs to write its sessions (BITS-Sessions); if the URL names a file that exists, BITSAllowOverwrites must be on';
  }
  if (status === 409) {
    return 'the URL is taken: probe with a URL that ends in /, which takes a name of its own';
  }
  if (status === 400 && hresult === E_INVALIDARG) {
    return 'does the URL name a directory? Write a / at its end';
  }
  if (status !== undefined && status >= 500) {
    return 'the server could not begin a session: look at its event log, at free disk space, and at the ACL of the session directory';
  }
  return 'look at the log of the server for the time of this request';
}
