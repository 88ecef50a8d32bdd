import { headerValue } from '../common/header-fields.js';
import { proxyChoice, proxyEnvironment } from '../transport/proxy/proxy-choice.js';
import type { ResolvedOptions } from './resolve-options.js';

/** Schemes that authenticate the whole connection, and not one request. */
const BINDS_CONNECTION = /^(?:ntlm|negotiate|kerberos)\b/i;

/**
 * The same text for jobs that may use each other's connections; undefined: a job may use none.
 *
 * A connection that was authenticated for one user must not serve another one: NTLM, Kerberos and
 * client certificates authenticate all requests of a connection. Other credentials stand in the
 * headers of each request, and count for that request alone.
 */
export function connectionKey(
  options: Pick<ResolvedOptions, 'auth' | 'tls' | 'proxy' | 'noProxy' | 'headers' | 'timeouts'>,
  remoteUrl: URL,
): string | undefined {
  const { auth, tls, proxy, noProxy, headers, timeouts } = options;
  if (auth !== undefined || tls !== undefined) return undefined;
  if (proxy !== undefined && proxy !== false) return undefined;
  if (Object.entries(headers).some(bindsConnection)) return undefined;
  // Neither holds a line break.
  const userAgent = headerValue(headers, 'user-agent') ?? '';
  const shared = `${remoteUrl.origin}\n${userAgent}\n${timeouts.connectMs}`;
  // The environment is read now: the transport is opened now, not when the job was created.
  const environment = proxy === false ? undefined : proxyEnvironment();
  if (environment === undefined) return shared;
  if (proxyChoice(proxy, noProxy).proxyFor(remoteUrl) !== undefined) return undefined;
  // A host-id or a redirect may yet lead to a host that there is a proxy for.
  return `${shared}\n${environment}\n${noProxy ?? ''}`;
}

function bindsConnection([name, value]: [name: string, value: string]): boolean {
  return name.toLowerCase() === 'authorization' && BINDS_CONNECTION.test(value.trim());
}
