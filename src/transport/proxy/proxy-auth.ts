import { sendProtected } from '../auth/authenticating-transport.js';
import { authMeans, basicFirst } from '../auth/options.js';
import { ProtectionSpace } from '../auth/protection-space.js';
import type { Peer } from '../auth/scheme.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport.js';
import type { ProxyServer } from './proxy-server.js';

/**
 * Authenticates to one proxy.
 *
 * A user name and password are sent at once as Basic, as curl does; when the proxy offers only other
 * schemes, they are used for the strongest of those.
 */
export class ProxyAuth extends ProtectionSpace {
  constructor(proxy: ProxyServer) {
    const { credentials, auth } = proxy;
    const none = { schemes: [] };
    const means = auth ? authMeans(auth) : credentials ? basicFirst(credentials) : none;
    super(means, proxyPeer(proxy));
  }
}

export function proxyPeer({ host, hostname, isSecure }: ProxyServer): Peer {
  // As in curl, passwords go to http proxies in Basic: there is hardly a proxy with TLS.
  return { isProxy: true, title: `The proxy ${host}`, hostname, isSecure, isPrivate: true };
}

/** Sends whole requests to a proxy, and authenticates to it when it answers 407. */
export class Forwarding {
  readonly #auth: ProxyAuth;
  readonly #send: Transport['send'];

  constructor(auth: ProxyAuth, send: Transport['send']) {
    this.#auth = auth;
    this.#send = send;
  }

  /** @throws BITS_ERR_AUTH when credentials are missing or refused, BITS_ERR_PROXY */
  send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    return sendProtected(this.#auth, request.url.href, request, options, this.#send);
  }
}
