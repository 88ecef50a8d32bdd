import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { UploadOptions } from '../index.js';
import { proxyChoice } from '../internal.js';
import type { Failure } from './failure.js';

const LIMIT_MS = 3000;

/**
 * What may have gone wrong with a URL that begins with http: when nobody behind its port speaks HTTP,
 * it may be TLS that is spoken there. Undefined when there is nothing to find out.
 */
export function httpsHint(
  { url, proxy, noProxy }: Partial<UploadOptions>,
  { code, status, hresult }: Failure,
): Promise<string | undefined> | undefined {
  if (url === undefined) return undefined;
  const { protocol, hostname, port } = new URL(url);
  const isUnanswered = code === 'BITS_ERR_TRANSPORT';
  // Some servers answer such requests with a page.
  const isRefused = status === 400 && hresult === undefined;
  if (protocol !== 'http:' || port === '' || !(isUnanswered || isRefused)) return undefined;
  // No connection goes around a proxy.
  if (proxyChoice(proxy, noProxy).proxyFor(new URL(url)) !== undefined) return undefined;
  return speaksTls(hostname.replace(/^\[(.*)\]$/, '$1'), Number(port)).then((isTls) =>
    isTls ? `Port ${port} speaks https: write https:// in the URL.` : undefined,
  );
}

/** Nothing is sent but the greeting of TLS, so that the certificate does not matter. */
function speaksTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const servername = isIP(host) === 0 ? host : '';
    const socket = connect({ host, port, servername, rejectUnauthorized: false });
    const end = (isTls: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isTls);
    };
    const timer = setTimeout(() => end(false), LIMIT_MS);
    socket.once('secureConnect', () => end(true)).once('error', () => end(false));
  });
}
