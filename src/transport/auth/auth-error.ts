import { BitsError, type BitsErrorOptions, BitsServerError } from '../../errors.js';
import type { Challenge } from './challenges.js';
import type { AuthScheme, Peer } from './scheme.js';

/** Authentication cannot work as it is set up; nothing was refused. */
export function authSetupError(message: string, options: BitsErrorOptions = {}): BitsError {
  return new BitsError('BITS_ERR_AUTH', message, options);
}

/** A server (401) or proxy (407) keeps requiring authentication. */
export function authRefusedError(peer: Pick<Peer, 'isProxy'>, message: string): BitsServerError {
  return new BitsServerError(
    message,
    { status: peer.isProxy ? 407 : 401 },
    { code: 'BITS_ERR_AUTH' },
  );
}

export function credentialsRefused(peer: Peer, scheme: string): BitsServerError {
  const advice = peer.isProxy
    ? 'check the user name and password for the proxy, and that the account is not locked or expired'
    : 'check the user name, domain and password or the token, that the account is not locked or expired, and its rights on the directory';
  return authRefusedError(peer, `${peer.title} refused the credentials (${scheme}): ${advice}`);
}

/** An earlier request with the same credentials was refused; nothing was sent this time. */
export function refusedBefore({ title }: Peer): BitsError {
  return authSetupError(
    `${title} has refused these credentials before, so that they were not sent again: more attempts could lock the account; correct them, or try again 15 minutes after the refusal`,
  );
}

/** None of the offers can be answered with what there is. */
export function noUsableOffer(
  peer: Peer,
  offers: readonly Challenge[],
  own: readonly AuthScheme[],
): BitsServerError {
  const { title, isProxy } = peer;
  const names = [...new Set(offers.map(({ scheme }) => scheme))].slice(0, 5).join(', ');
  if (own.length === 0) {
    return authRefusedError(
      peer,
      `${title} requires authentication (${isProxy ? 407 : 401}${names && `, ${names}`}), but no credentials were given: give a username and a password in the option proxy, or in the URL of the proxy`,
    );
  }
  const isDigest = (name: string) => name === 'digest';
  if (own.some(({ name }) => isDigest(name)) && offers.some(({ scheme }) => isDigest(scheme))) {
    return authRefusedError(
      peer,
      `${title} offers ${names} for authentication, but Digest in a form that this client does not know: it needs a realm, a nonce, MD5 or SHA-256, and qop=auth; check the settings of the ${isProxy ? 'proxy' : 'server'}`,
    );
  }
  return authRefusedError(
    peer,
    names === ''
      ? `${title} requires authentication but names no scheme: check the ${isProxy ? 'proxy' : 'server, and proxies in between'}`
      : `${title} offers ${names} for authentication, but the options allow only ${own.map((scheme) => scheme.title).join(', ')}: check auth and auth.schemes`,
  );
}

export function unboundConnection({ title }: Peer, scheme: AuthScheme): BitsError {
  return authSetupError(
    `${title} offers ${scheme.title}, which authenticates a connection, and this transport does not control which connection a request uses: use the default transport`,
  );
}

/** @param what would be shown, as the beginning of a sentence */
export function unencrypted(what: string): BitsError {
  return authSetupError(
    `${what} without encryption, and everybody in between could read it: use https, or the option allowInsecureAuth (--allow-insecure-auth)`,
  );
}
