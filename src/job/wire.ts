import { isTrustedHost } from '../protocol/host-id.js';
import { withAuthentication } from '../transport/auth/authenticating-transport.js';
import type { Transport } from '../transport/transport.js';
import { createUndiciTransport, type UndiciTransportOptions } from '../transport/undici.js';
import type { ResolvedOptions } from './options.js';

/** The transport of a run, with what the options put around it. */
export interface Wire {
  readonly transport: Transport;
  /** Closes what the run opened; a caller's own transport stays open. */
  close(): Promise<void>;
}

export function openWire(options: ResolvedOptions, remoteUrl: URL): Wire {
  const bare = options.transport ?? openTransport(options, remoteUrl);
  const { auth, allowInsecureAuth, trustedHosts } = options;
  const transport =
    auth === undefined
      ? bare
      : withAuthentication(bare, {
          server: auth,
          allowInsecureAuth,
          mayAuthenticate: ({ host }) => isTrustedHost(host, remoteUrl, trustedHosts),
        });
  return {
    transport,
    close: async () => {
      if (bare !== options.transport) await bare.close();
    },
  };
}

/** The default transport, as the options want it. */
export function openTransport(options: ResolvedOptions, remoteUrl: URL): Transport {
  return createUndiciTransport(network(options, remoteUrl));
}

function network(options: ResolvedOptions, remoteUrl: URL): UndiciTransportOptions {
  const { tls, proxy, noProxy, headers } = options;
  const userAgent = Object.entries(headers).find(([name]) => name.toLowerCase() === 'user-agent');
  const servername = tls?.servername;
  return {
    proxy,
    noProxy,
    // Of packets it is a header already; this is for the proxy.
    userAgent: userAgent?.[1],
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
