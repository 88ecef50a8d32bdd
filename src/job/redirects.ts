import { BitsError, BitsServerError } from '../errors.js';
import { type Decoded, decodeAnswer } from '../protocol/decode.js';
import { isTrustedHost, withHost } from '../protocol/host-id.js';
import type { AnswerHead, HostId, RequestPacket } from '../protocol/packets.js';
import { MAX_REDIRECTS, resolveRedirect } from '../protocol/redirect.js';
import type { ResolvedOptions } from './resolve-options.js';

/** How many permanent redirects are remembered. */
const MAX_REMEMBERED = 16;

type Policy = Pick<ResolvedOptions, 'hasCredentials' | 'trustedHosts'>;

/**
 * Where packets of a job are sent: on to the server that BITS-Host-Id names, and on by 307 and 308, which
 * keep verb and body (RFC 9110).
 */
export class Redirects {
  readonly #remoteUrl: URL;
  readonly #policy: Policy;
  /** Where URLs have moved for good, by status 308; only the newest. */
  readonly #moved = new Map<string, URL>();

  constructor(remoteUrl: URL, policy: Policy) {
    this.#remoteUrl = remoteUrl;
    this.#policy = policy;
  }

  /**
   * Where a packet is sent first: to the server that has the session.
   * @param hostId that server, if the remote URL's own has named one
   * @throws BITS_ERR_UNTRUSTED_HOST when credentials would go to a host that is not trusted
   */
  first(hostId: HostId | undefined): URL {
    if (hostId === undefined) return this.current(this.#remoteUrl);
    const moves = `${this.#remoteUrl.host} moves this upload to ${hostId} (BITS-Host-Id)`;
    this.#assertTrusted(hostId, moves);
    return this.current(withHost(this.#remoteUrl, hostId));
  }

  /** Where a URL has moved for good; else the URL itself. */
  current(url: URL): URL {
    let at = url;
    for (let hops = 0; hops < MAX_REDIRECTS; hops++) {
      const next = this.#moved.get(at.href);
      if (next === undefined) break;
      at = next;
    }
    return at;
  }

  /**
   * Sends a packet to a URL, and again to where redirects lead.
   * @throws what {@link next} and `send` throw
   */
  async follow(
    packet: RequestPacket,
    first: URL,
    send: (url: URL) => Promise<AnswerHead>,
  ): Promise<Decoded> {
    for (let url = first, hops = 0; ; hops++) {
      const answer = await send(url);
      const context = { nowMs: Date.now(), url, ownHost: this.#remoteUrl.host };
      const decoded = decodeAnswer(packet, answer, context);
      if ('ack' in decoded || decoded.refusal.location === undefined) return decoded;
      url = this.next(url, answer.status, decoded.refusal.location, hops);
    }
  }

  /**
   * Where a redirect leads.
   *
   * @param location as the server wrote it.
   * @param hops how many were followed before it.
   * @throws BITS_ERR_SERVER for one that must not be followed
   * @throws BITS_ERR_UNTRUSTED_HOST when credentials would go to a host that nobody vouched for
   */
  next(from: URL, status: number, location: string, hops: number): URL {
    const redirect = resolveRedirect(from, location, hops);
    if ('refused' in redirect) {
      const message = `${from.host} redirects the upload (${status}), and ${redirect.refused}`;
      throw new BitsServerError(message, { status });
    }
    const to = redirect.url;
    this.#assertTrusted(to.host, `${from.host} redirects the upload to ${to.host} (${status})`);
    if (status === 308) this.#remember(from, to);
    return to;
  }

  #assertTrusted(host: string, moves: string): void {
    const { hasCredentials, trustedHosts } = this.#policy;
    if (!hasCredentials || isTrustedHost(host, this.#remoteUrl, trustedHosts)) return;
    throw new BitsError(
      'BITS_ERR_UNTRUSTED_HOST',
      `${moves}, and this job has credentials that must not go to another host unasked. If that host ` +
        'is yours, name it in trustedHosts.',
    );
  }

  #remember(from: URL, to: URL): void {
    const [oldest] = this.#moved.keys();
    if (oldest !== undefined && this.#moved.size >= MAX_REMEMBERED) this.#moved.delete(oldest);
    this.#moved.delete(from.href);
    this.#moved.set(from.href, to);
  }
}
