import { headerValue } from '../../common/header-fields.js';
import { BitsArgumentError, BitsError } from '../../errors.js';
import { encodeRequest } from '../../protocol/encode.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport.js';
import { type AuthMeans, type AuthOptions, authMeans } from './options.js';
import { drain, ProtectionSpace } from './protection-space.js';

export interface AuthenticationOptions {
  /** How to answer 401. */
  readonly server: AuthOptions;
  /** Lets Basic and bearer tokens go over http to other machines. @default false */
  readonly allowInsecureAuth?: boolean | undefined;
  /** Whether a server may receive the credentials, or a proof of them. */
  readonly mayAuthenticate: (url: URL) => boolean;
}

/**
 * Makes a transport that answers 401 and sends the same request again, its body included.
 *
 * Besides what {@link Transport.send} says, `send` rejects with BITS_ERR_AUTH when the credentials
 * are refused or no offer of the server can be answered, and with BITS_ERR_UNTRUSTED_HOST when
 * another host requires authentication. Requests with an `Authorization` header of their own are
 * sent as they are.
 * @throws BITS_ERR_ARGUMENT for options that cannot work.
 */
export function withAuthentication(inner: Transport, options: AuthenticationOptions): Transport {
  if (typeof options.mayAuthenticate !== 'function') {
    throw new BitsArgumentError('mayAuthenticate must be a function');
  }
  return new AuthenticatingTransport(inner, options);
}

class AuthenticatingTransport implements Transport {
  readonly limitations: Transport['limitations'];
  readonly maxBodyBytes?: number;
  readonly #inner: Transport;
  readonly #means: AuthMeans;
  readonly #options: AuthenticationOptions;
  /** By origin. */
  readonly #spaces = new Map<string, ProtectionSpace>();

  constructor(inner: Transport, options: AuthenticationOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#means = authMeans(options.server);
    this.limitations = inner.limitations;
    if (inner.maxBodyBytes !== undefined) this.maxBodyBytes = inner.maxBodyBytes;
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const { url, headers } = request;
    if (headerValue(headers, 'authorization') !== undefined) {
      return this.#inner.send(request, options);
    }
    if (this.#options.mayAuthenticate(url)) {
      const target = `${url.pathname}${url.search}`;
      return sendProtected(this.#spaceOf(url), target, request, options, (...attempt) =>
        this.#inner.send(...attempt),
      );
    }
    const response = await this.#inner.send(request, options);
    if (response.status !== 401) return response;
    await drain(response.body);
    throw new BitsError(
      'BITS_ERR_UNTRUSTED_HOST',
      `${url.host} requires authentication and is not the host that the credentials are for: list it in trustedHosts if it may receive them`,
    );
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #spaceOf(url: URL): ProtectionSpace {
    const known = this.#spaces.get(url.origin);
    if (known) return known;
    const space = new ProtectionSpace(this.#means, {
      isProxy: false,
      title: url.host,
      hostname: url.hostname,
      isSecure: url.protocol === 'https:',
      isPrivate: this.#options.allowInsecureAuth === true || isPrivateChannel(url),
    });
    this.#spaces.set(url.origin, space);
    return space;
  }
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Whether nobody in between can read what is sent: https, or a server on this machine. */
export function isPrivateChannel(url: URL): boolean {
  return url.protocol === 'https:' || LOOPBACK.test(url.hostname);
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
  send: Transport['send'],
): Promise<WireResponse> {
  return space.send({
    method: request.method,
    target,
    hasBody: (request.body?.byteLength ?? 0) > 0,
    signal: options.signal,
    send: (added, isHandshake) => {
      if (isHandshake) return send(pingFor(request, added), pingOptions(options));
      return send({ ...request, headers: { ...request.headers, ...added } }, options);
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
