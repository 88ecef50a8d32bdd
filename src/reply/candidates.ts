import { BitsError } from '../errors.js';
import { isTrustedHost, withHost } from '../protocol/host-id.js';
import type { HostId } from '../protocol/packets.js';
import { resolveReplyUrl } from '../protocol/reply-url.js';

/** A place to fetch the reply from. */
export interface ReplyCandidate {
  readonly url: URL;
  /** Whether credentials of any kind may go there: headers, answers to challenges, certificates. */
  readonly withCredentials: boolean;
  /**
   * Where a redirect from here leads, under the same policy.
   * @throws BITS_ERR_REPLY, BITS_ERR_UNTRUSTED_HOST
   */
  redirected(location: string): ReplyCandidate;
}

export interface ReplyHostPolicy {
  /** The session's `BITS-Host-Id`, when the session is on one. */
  readonly hostId: HostId | undefined;
  readonly trustedHosts: readonly string[];
  /** Whether the job has any credentials: a scheme, an `Authorization` header, a client certificate. */
  readonly hasCredentials: boolean;
}

/**
 * Lists where a reply may be fetched from, in the order in which to try them on 404.
 *
 * For a URL without a host: the remote URL's own host, then the host-id's (as Windows does, [MC-BUP]
 * §4). For a URL with a host: that host only. The remote URL's host (any port) and `trustedHosts` get
 * credentials; any other host is asked only by a job that has none. A host-id that must not be asked
 * is left out, because the origin still serves.
 *
 * @throws BITS_ERR_REPLY for anything but http(s), for http after https, and for a malformed URL;
 * BITS_ERR_UNTRUSTED_HOST for an unlisted host when the job has credentials.
 */
export function replyCandidates(
  replyUrl: string,
  remoteUrl: URL,
  policy: ReplyHostPolicy,
): readonly ReplyCandidate[] {
  const { url, relative } = resolved(replyUrl, remoteUrl, 'reply URL (BITS-Reply-URL)');
  const announced = candidateAt(url, remoteUrl, policy);
  if (!relative || policy.hostId === undefined) return [announced];

  const moved = withHost(url, policy.hostId);
  const reachable = !policy.hasCredentials || isTrusted(moved, remoteUrl, policy);
  if (moved.host === url.host || !reachable) return [announced];
  return [announced, candidateAt(moved, remoteUrl, policy)];
}

function candidateAt(url: URL, remoteUrl: URL, policy: ReplyHostPolicy): ReplyCandidate {
  const withCredentials = isTrusted(url, remoteUrl, policy);
  if (!withCredentials && policy.hasCredentials) {
    throw new BitsError(
      'BITS_ERR_UNTRUSTED_HOST',
      `The reply is on ${url.hostname}, another host than the upload's, and this job has ` +
        'credentials: add the host to the option trustedHosts if it may get them. Nothing was ' +
        'sent there, and the session is left open.',
    );
  }
  return {
    url,
    withCredentials,
    redirected: (location) =>
      candidateAt(resolved(location, url, 'redirect of the reply').url, remoteUrl, policy),
  };
}

function isTrusted(url: URL, remoteUrl: URL, { trustedHosts }: ReplyHostPolicy): boolean {
  return isTrustedHost(url.host, remoteUrl, trustedHosts);
}

function resolved(text: string, base: URL, what: string): { url: URL; relative: boolean } {
  const answer = resolveReplyUrl(text, base);
  if (answer !== undefined) return answer;
  throw new BitsError(
    'BITS_ERR_REPLY',
    `The ${what} cannot be fetched: it is malformed, contains a user name, is neither http nor ` +
      'https, or leads from https to http. Check the server application; the session is left open.',
  );
}
