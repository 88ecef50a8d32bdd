import { BitsError, BitsServerError } from '../errors.js';
import { isTrustedHost } from '../protocol/host-id.js';
import type { ResolvedOptions } from './resolve-options.js';

export const MAX_REDIRECTS = 5;

type Policy = Pick<ResolvedOptions, 'hasCredentials' | 'trustedHosts'>;

/** Where packets of a job are sent on to, by 307 and 308, which keep verb and body (RFC 9110). */
export class Redirects {
  readonly #remoteUrl: URL;
  readonly #policy: Policy;
  /** By 308: these hold for the rest of the job. */
  readonly #moved = new Map<string, URL>();

  constructor(remoteUrl: URL, policy: Policy) {
    this.#remoteUrl = remoteUrl;
    this.#policy = policy;
  }

  /** Where a URL has moved for good; else the URL itself. */
  current(url: URL): URL {
    if (this.#moved.size === 0) return url;
    let at = url;
    for (let hops = 0; hops < MAX_REDIRECTS; hops++) {
      const next = this.#moved.get(at.href);
      if (next === undefined) break;
      at = next;
    }
    return at;
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
    const refuse = (why: string): never => {
      throw new BitsServerError(`${from.host} redirects the upload (${status}), and ${why}`, {
        status,
      });
    };
    if (hops >= MAX_REDIRECTS) {
      refuse(`that was redirect ${hops + 1} in a row: check the server for a circle`);
    }
    const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    if (to === undefined || !/^https?:$/.test(to.protocol) || to.host.length > MAX_HOST_LENGTH) {
      return refuse('the Location is no URL of http or https: check the server');
    }
    if (to.username !== '' || to.password !== '') {
      return refuse(`the Location, on ${to.host}, holds a user name: check the server`);
    }
    if (from.protocol === 'https:' && to.protocol === 'http:') {
      return refuse(
        `the Location, on ${to.host}, is http, where nothing is private: check the server`,
      );
    }
    const { hasCredentials, trustedHosts } = this.#policy;
    if (hasCredentials && !isTrustedHost(to.host, this.#remoteUrl, trustedHosts)) {
      throw new BitsError(
        'BITS_ERR_UNTRUSTED_HOST',
        `${from.host} redirects the upload to ${to.host} (${status}), and this job has credentials ` +
          'that must not go to another host unasked. If that host is yours, name it in trustedHosts.',
      );
    }
    to.hash = '';
    if (status === 308) this.#moved.set(from.href, to);
    return to;
  }
}

const MAX_HOST_LENGTH = 260;
