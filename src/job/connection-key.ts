import { proxyChoice, proxyEnvironment } from '../transport/proxy/proxy-choice.js';
import { headerOf } from './header-of.js';
import type { ResolvedOptions } from './options.js';

/** Schemes with which a server takes the whole connection for the user's, and not one request. */
const BINDS_CONNECTION = /^(?:ntlm|negotiate|kerberos)\b/i;

/**
 * The same text for jobs that may go on with each other's connections; undefined: with none.
 *
 * A connection over which somebody has proved who he is must not serve anybody else: to a server or
 * a proxy, NTLM and Kerberos prove it for all that follows, and so does a client certificate. Other
 * credentials stand in the headers of each request, and count for that request alone.
 */
export function connectionKey(
  options: Pick<ResolvedOptions, 'auth' | 'tls' | 'proxy' | 'noProxy' | 'headers'>,
  remoteUrl: URL,
): string | undefined {
  const { auth, tls, proxy, noProxy, headers } = options;
  if (auth !== undefined || tls !== undefined) return undefined;
  if (proxy !== undefined && proxy !== false) return undefined;
  if (Object.entries(headers).some(bindsConnection)) return undefined;
  // Neither holds a line break.
  const shared = `${remoteUrl.origin}\n${headerOf(headers, 'user-agent') ?? ''}`;
  // As it is now, and not as it was when the job was made: the transport is opened now.
  const environment = proxy === false ? undefined : proxyEnvironment();
  if (environment === undefined) return shared;
  if (proxyChoice(proxy, noProxy).proxyFor(remoteUrl) !== undefined) return undefined;
  // A host-id or a redirect may yet lead to a host that there is a proxy for.
  return `${shared}\n${environment}\n${noProxy ?? ''}`;
}

function bindsConnection([name, value]: [name: string, value: string]): boolean {
  return name.toLowerCase() === 'authorization' && BINDS_CONNECTION.test(value.trim());
}
