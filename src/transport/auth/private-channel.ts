import { headerValue } from '../../common/header-fields.js';
import type { TransportLimitation } from '../transport.js';

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Whether nobody in between can read what is sent: https, or a server on this machine. */
export function isPrivateChannel(url: URL): boolean {
  return url.protocol === 'https:' || LOOPBACK.test(url.hostname);
}

/** Schemes whose values prove a secret without showing it. */
const PROOFS = /^(?:digest|ntlm|negotiate)(?: |$)/i;

/**
 * Warns of an `Authorization` header of the caller's that everybody between here and the server can
 * read, as `auth` refuses to send it without `allowInsecureAuth`.
 *
 * @param headers that go with each request to the URL.
 */
export function exposedAuthorization(
  headers: Readonly<Record<string, string>>,
  url: URL,
): TransportLimitation | undefined {
  const value = headerValue(headers, 'authorization')?.trimStart();
  if (value === undefined || isPrivateChannel(url) || PROOFS.test(value)) return undefined;
  return {
    code: 'authorization-unencrypted',
    message: `The Authorization header is sent to ${url.host} without encryption, and everybody in between can read it: use https`,
  };
}
