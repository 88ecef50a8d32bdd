import { isTrustedHost } from '../protocol/host-id.js';
import { withAuthentication } from '../transport/auth/authenticating-transport.js';
import type { Transport } from '../transport/transport.js';
import { createUndiciTransport } from '../transport/undici.js';
import type { ResolvedOptions } from './options.js';

/** The transport of a run, with what the options put around it. */
export interface Wire {
  readonly transport: Transport;
  /** Closes what the run opened; a caller's own transport stays open. */
  close(): Promise<void>;
}

export function openWire(options: ResolvedOptions, remoteUrl: URL): Wire {
  const bare = options.transport ?? createUndiciTransport(options.tls && { tls: options.tls });
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
