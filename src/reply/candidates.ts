import { BitsError } from '../errors.js';
import { isTrustedHost, withHost } from '../protocol/host-id.js';
import type { HostId } from '../protocol/packets.js';
import { resolveRedirect } from '../protocol/redirect.js';
import { resolveReplyUrl } from '../protocol/reply-url.js';

/** A place to fetch the reply from. */
export interface ReplyCandidate {
  readonly url: URL;
  /**
   * Where a redirect from here leads, under the same policy.
   * @param hops how many redirects were followed before it
   * @throws BITS_ERR_REPLY, BITS_ERR_UNTRUSTED_HOST
   */
  redirected(location: string, hops: number): ReplyCandidate;
}

export interface ReplyHostPolicy {
  /** The session's `BITS-Host-Id`, when the session is on one. */
  readonly hostId: HostId | undefined;
  readonly trustedHosts: readonly string[];
  /**
   * Whether the job has any credentials: a scheme, an `Authorization` header, a client certificate,
   * also one of the transport's. A query in the remote URL counts in any case.
   */
  readonly hasCredentials: boolean;
}

/**
 * Lists where a reply may be fetched from, in the order in which to try them on 404.
 *
 * For a URL without a host: the remote URL's own host, then the host-id's (as Windows does, [MC-BUP]
 * §4). For a URL with a host: that host only. A job that has credentials asks only the remote URL's host
 * (any port) and `trustedHosts`. A host-id that must not be asked is left out, because the origin still
 * serves.
 *
 * @throws BITS_ERR_REPLY for anything but http(s), for http after https, and for a malformed URL;
 * BITS_ERR_UNTRUSTED_HOST for an unlisted host when the job has credentials.
 */
export function replyCandidates(
  replyUrl: string,
  remoteUrl: URL,
  { hostId, trustedHosts, hasCredentials }: ReplyHostPolicy,
): readonly ReplyCandidate[] {
  // A query may be a signature, as of a SAS URL.
  const isGuarded = hasCredentials || remoteUrl.search !== '';
  const isTrusted = ({ host }: URL) => isTrustedHost(host, remoteUrl, trustedHosts);

  const candidateAt = (url: URL): ReplyCandidate => {
    if (isGuarded && !isTrusted(url)) throw untrusted(url);
    return {
      url,
      redirected(location, hops) {
        const redirect = resolveRedirect(url, location, hops);
        if ('url' in redirect) return candidateAt(redirect.url);
        throw unusable(`${url.host} redirects the reply, and ${redirect.refused}`);
      },
    };
  };

  const resolved = resolveReplyUrl(replyUrl, remoteUrl);
  if (resolved === undefined) {
    throw unusable(
      'The reply URL (BITS-Reply-URL) is malformed or too long, contains a user name, is not http or ' +
        'https, or leads from https to http: check the server application',
    );
  }
  const announced = candidateAt(resolved.url);
  if (!resolved.relative || hostId === undefined) return [announced];
  const moved = withHost(resolved.url, hostId);
  const isElsewhere = moved.host !== resolved.url.host;
  return isElsewhere && (!isGuarded || isTrusted(moved))
    ? [announced, candidateAt(moved)]
    : [announced];
}

function untrusted({ hostname }: URL): BitsError {
  return new BitsError(
    'BITS_ERR_UNTRUSTED_HOST',
    `The reply is on ${hostname}, another host than the upload's, and this job has credentials: add ` +
      'the host to the option trustedHosts if it may get them. Nothing was sent there, and the ' +
      'session is left open.',
  );
}

function unusable(why: string): BitsError {
  return new BitsError('BITS_ERR_REPLY', `${why}. The session is left open.`);
}
