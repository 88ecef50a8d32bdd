import { authMeans, basicFirst } from '../auth/options.js';
import { ProtectionSpace } from '../auth/protection-space.js';
import type { Peer } from '../auth/scheme.js';
import type { ProxyServer } from './proxy-server.js';

/**
 * What authenticates to one proxy.
 *
 * A user name and password are sent at once as Basic, as curl does; when the proxy offers only other
 * schemes, they are used for the strongest of those.
 */
export function proxySpace(proxy: ProxyServer): ProtectionSpace {
  const { credentials, auth } = proxy;
  const none = { schemes: [] };
  const means = auth ? authMeans(auth) : credentials ? basicFirst(credentials) : none;
  return new ProtectionSpace(means, proxyPeer(proxy));
}

export function proxyPeer({ host, hostname, isSecure }: ProxyServer): Peer {
  // As in curl, passwords go to http proxies in Basic: there is hardly a proxy with TLS.
  return { isProxy: true, title: `The proxy ${host}`, hostname, isSecure, isPrivate: true };
}
