import { headerValue } from '../../common/header-fields.js';
import { BitsError } from '../../errors.js';
import { encodeRequest } from '../../protocol/encode.js';
import { drain } from '../answer-body.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport.js';
import { type AuthMeans, type AuthOptions, authMeans } from './options.js';
import { isPrivateChannel } from './private-channel.js';
import { ProtectionSpace } from './protection-space.js';
import type { Peer } from './scheme.js';
import { processVerdicts, Trial } from './verdicts.js';

export interface AuthenticationOptions {
  /** How to answer 401; undefined: not at all. */
  readonly server: AuthOptions | undefined;
  /** Lets Basic and bearer tokens go over http to other machines. @default false */
  readonly allowInsecureAuth?: boolean | undefined;
  /** Whether a server may receive the credentials, or a proof of them. */
  readonly mayAuthenticate: (url: URL) => boolean;
}

/**
 * Answers 401 and sends the same request again, its body included.
 *
 * Besides what {@link Transport.send} says, `send` rejects with BITS_ERR_AUTH when the credentials
 * are refused or no offer of the server can be answered, and with BITS_ERR_UNTRUSTED_HOST when
 * another host requires authentication. Requests with an `Authorization` header of their own are
 * sent as they are, but not again after the server has refused that header (BITS_ERR_AUTH).
 */
export class Authenticator implements Pick<Transport, 'send'> {
  readonly #inner: Pick<Transport, 'send'>;
  readonly #means: AuthMeans | undefined;
  readonly #options: AuthenticationOptions;
  /** By origin. */
  readonly #spaces = new Map<string, ProtectionSpace>();
  /** Origins that have accepted the header of a request. */
  readonly #accepting = new Set<string>();

  /** @throws BITS_ERR_ARGUMENT for options that cannot work. */
  constructor(inner: Pick<Transport, 'send'>, options: AuthenticationOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#means = options.server && authMeans(options.server);
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const { url, headers } = request;
    const own = headerValue(headers, 'authorization');
    if (own !== undefined) return this.#sendOwn(own, request, options);
    if (this.#means === undefined) return this.#inner.send(request, options);
    if (this.#options.mayAuthenticate(url)) {
      const space = this.#spaceOf(url, this.#means);
      const target = `${url.pathname}${url.search}`;
      return sendProtected(space, target, request, options, this.#inner);
    }
    const response = await this.#inner.send(request, options);
    if (response.status !== 401) return response;
    await drain(response.body);
    throw new BitsError(
      'BITS_ERR_UNTRUSTED_HOST',
      `${url.host} requires authentication and is not the host that the credentials are for: list it in trustedHosts if it may receive them`,
    );
  }

  /** With an `Authorization` header of the request's own, whose 401 is for the caller to read. */
  async #sendOwn(value: string, request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const { origin } = request.url;
    const peer = this.#peerOf(request.url);
    const trial = new Trial(peer, processVerdicts);
    try {
      if (!this.#accepting.has(origin)) await trial.begin(value, options.signal);
      const response = await this.#inner.send(request, options);
      if (response.status === 401) {
        this.#accepting.delete(origin);
        processVerdicts.set(peer, value, 'refused');
      } else if (!this.#accepting.has(origin)) {
        this.#accepting.add(origin);
        processVerdicts.set(peer, value, 'accepted');
      }
      return response;
    } finally {
      trial.end();
    }
  }

  #spaceOf(url: URL, means: AuthMeans): ProtectionSpace {
    const known = this.#spaces.get(url.origin);
    if (known) return known;
    const space = new ProtectionSpace(means, this.#peerOf(url));
    this.#spaces.set(url.origin, space);
    return space;
  }

  #peerOf(url: URL): Peer {
    return {
      isProxy: false,
      title: url.host,
      hostname: url.hostname,
      isSecure: url.protocol === 'https:',
      isPrivate: this.#options.allowInsecureAuth === true || isPrivateChannel(url),
    };
  }
}

/**
 * Sends a request to a server or proxy that may require authentication.
 *
 * @param target the request-target, exactly as it stands in the request line.
 */
export function sendProtected(
  space: ProtectionSpace,
  target: string,
  request: WireRequest,
  options: SendOptions,
  through: Pick<Transport, 'send'>,
): Promise<WireResponse> {
  return space.send({
    method: request.method,
    target,
    hasBody: (request.body?.byteLength ?? 0) > 0,
    signal: options.signal,
    send: (added, isHandshake) => {
      if (isHandshake) return through.send(pingFor(request, added), pingOptions(options));
      return through.send({ ...request, headers: { ...request.headers, ...added } }, options);
    },
  });
}

// Those of the packet itself; the caller's own headers go with the Ping, too.
const PACKET_HEADER = /^(?:accept|bits-.*|content-.*|if-.*|range)$/i;

/** A Ping to the same URL, with the headers that the caller adds to each request. */
function pingFor(
  { method, url, headers }: WireRequest,
  added: Record<string, string>,
): WireRequest {
  const own = Object.entries(headers).filter(([name]) => !PACKET_HEADER.test(name));
  const ping = encodeRequest({ type: 'ping' }).headers;
  return { method, url, headers: { ...ping, ...Object.fromEntries(own), ...added } };
}

function pingOptions({ signal, stallTimeoutMs, answerTimeoutMs }: SendOptions): SendOptions {
  return { signal, stallTimeoutMs, answerTimeoutMs, answerBody: 'discard' };
}
