import { isTrustedHost } from '../protocol/host-id.js';
import { withAuthentication } from '../transport/auth/authenticating-transport.js';
import { UndiciTransport, type UndiciTransportOptions } from '../transport/undici.js';
import { connectionKey } from './connection-key.js';
import { headerOf } from './header-of.js';
import { idleTransports } from './idle-transports.js';
import { type JobTransport, jobTransport } from './job-transport.js';
import type { ResolvedOptions } from './options.js';
import { overUsedConnections } from './used-connections.js';

/** The transport of a run, with what the options put around it. */
export interface Wire {
  readonly transport: JobTransport;
  /** Closes what the run opened, or leaves it to another job; a caller's own transport stays open. */
  close(): Promise<void>;
}

export function openWire(options: ResolvedOptions, remoteUrl: URL): Wire {
  const { transport: own, auth, allowInsecureAuth, trustedHosts } = options;
  const key = own === undefined ? connectionKey(options, remoteUrl) : undefined;
  if (key !== undefined) return borrowed(key, options, remoteUrl);
  const bare = own ?? openTransport(options, remoteUrl);
  const transport =
    auth === undefined
      ? bare
      : withAuthentication(bare, {
          server: auth,
          allowInsecureAuth,
          mayAuthenticate: ({ host }) => isTrustedHost(host, remoteUrl, trustedHosts),
        });
  return {
    transport: jobTransport(transport),
    close: async () => {
      if (own === undefined) await bare.close();
    },
  };
}

/** With the connection that another job left, if there is one. */
function borrowed(key: string, options: ResolvedOptions, remoteUrl: URL): Wire {
  const loan = idleTransports.borrow(key, () => openTransport(options, remoteUrl));
  return {
    transport: loan.wasUsed
      ? overUsedConnections(jobTransport(loan.transport))
      : jobTransport(loan.transport),
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
