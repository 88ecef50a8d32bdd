import { isTrustedHost } from '../protocol/host-id.js';
import { withAuthentication } from '../transport/auth/authenticating-transport.js';
import type { Transport } from '../transport/transport.js';
import { UndiciTransport, type UndiciTransportOptions } from '../transport/undici.js';
import { connectionKey } from './connection-key.js';
import { headerOf } from './header-of.js';
import { idleTransports } from './idle-transports.js';
import type { ResolvedOptions } from './options.js';
import { overUsedConnections } from './used-connections.js';

/** The transport of a run, with what the options put around it. */
export interface Wire {
  readonly transport: Transport;
  /** Closes what the run opened, or leaves it to another job; a caller's own transport stays open. */
  close(): Promise<void>;
}

export function openWire(options: ResolvedOptions, remoteUrl: URL): Wire {
  const { transport: bare, close } = openBare(options, remoteUrl);
  const { auth, allowInsecureAuth, trustedHosts } = options;
  const transport =
    auth === undefined
      ? bare
      : withAuthentication(bare, {
          server: auth,
          allowInsecureAuth,
          mayAuthenticate: ({ host }) => isTrustedHost(host, remoteUrl, trustedHosts),
        });
  return { transport, close };
}

function openBare(options: ResolvedOptions, remoteUrl: URL): Wire {
  const own = options.transport;
  if (own !== undefined) return { transport: own, close: async () => {} };
  const key = connectionKey(options, remoteUrl);
  if (key === undefined) {
    const transport = openTransport(options, remoteUrl);
    return { transport, close: () => transport.close() };
  }
  const loan = idleTransports.borrow(key, () => openTransport(options, remoteUrl));
  return {
    transport: loan.wasUsed ? overUsedConnections(loan.transport) : loan.transport,
    close: () => loan.giveBack(),
  };
}

/** The default transport, as the options want it. */
export function openTransport(options: ResolvedOptions, remoteUrl: URL): UndiciTransport {
  return new UndiciTransport(network(options, remoteUrl));
}

function network(options: ResolvedOptions, remoteUrl: URL): UndiciTransportOptions {
  const { tls, proxy, noProxy, headers } = options;
  const servername = tls?.servername;
  return {
    proxy,
    noProxy,
    // Of packets it is a header already; this is for the proxy.
    userAgent: headerOf(headers, 'user-agent'),
    tls: tls && {
      ...tls,
      // The host of a BITS-Host-Id has a certificate of its own.
      ...(typeof servername === 'string' && {
        servername: (hostname: string) =>
          hostname === remoteUrl.hostname.replace(/^\[(.*)\]$/, '$1') ? servername : undefined,
      }),
    },
  };
}
