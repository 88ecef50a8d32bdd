import { headerValue } from '../common/header-fields.js';
import { isTrustedHost } from '../protocol/host-id.js';
import { withAuthentication } from '../transport/auth/authenticating-transport.js';
import { exposedAuthorization } from '../transport/auth/private-channel.js';
import type {
  Transport,
  TransportLimitation,
  WireRequest,
  WireResponse,
} from '../transport/transport.js';
import { UndiciTransport } from '../transport/undici.js';
import { connectionKey } from './connection-key.js';
import { idleTransports } from './idle-transports.js';
import { type PacketKind, PacketSender } from './packet-sender.js';
import { Redirects } from './redirects.js';
import type { ResolvedOptions } from './resolve-options.js';

/** How one packet is sent; the limits of the job are filled in. */
export interface PacketOptions {
  readonly signal: AbortSignal;
  readonly answerBody: 'discard' | 'stream';
  /** @default timeouts.answerMs */
  readonly answerTimeoutMs?: number | undefined;
  readonly kind?: string | undefined;
  readonly onBytesSent?: ((bytes: number) => void) | undefined;
  /** Called when the request goes to the transport: from then on the server may have it. */
  readonly onHandOver?: (() => void) | undefined;
}

/** A run's way to the server: its transport, with authentication, hooks and redirects around it. */
export class Wire {
  readonly redirects: Redirects;
  /** With authentication; for requests that are no packets. */
  readonly transport: Transport;
  readonly #options: ResolvedOptions;
  readonly #remoteUrl: URL;
  readonly #sender: PacketSender;
  readonly #isTrusted: (url: URL) => boolean;
  readonly #close: (fate: { readonly reusable: boolean }) => Promise<void>;

  constructor(options: ResolvedOptions, remoteUrl: URL, jobId: string) {
    this.#options = options;
    this.#remoteUrl = remoteUrl;
    this.redirects = new Redirects(remoteUrl, options);
    const { transport, close } = openTransport(options, remoteUrl);
    this.transport = transport;
    this.#isTrusted = ({ host }) => isTrustedHost(host, remoteUrl, options.trustedHosts);
    this.#sender = new PacketSender(transport, options, jobId, this.#isTrusted);
    this.#close = close;
  }

  send(
    packet: PacketKind,
    request: WireRequest,
    { onHandOver, ...options }: PacketOptions,
  ): Promise<WireResponse> {
    const { timeouts } = this.#options;
    const limits = {
      stallTimeoutMs: timeouts.stallMs,
      ...options,
      answerTimeoutMs: options.answerTimeoutMs ?? timeouts.answerMs,
    };
    return this.#sender.send(packet, request, limits, onHandOver);
  }

  /** What this way cannot do, or does in the open. */
  get limitations(): readonly TransportLimitation[] {
    const { limitations } = this.transport;
    const exposed = exposedAuthorization(this.#options.headers, this.#remoteUrl);
    return exposed === undefined ? limitations : [...limitations, exposed];
  }

  /** Sees to it that the next request goes over a new connection, as far as the transport can. */
  dropConnections(): void {
    this.transport.dropConnections?.();
  }

  /** The caller's headers, as far as they may go to the host of a URL. */
  headersFor(url: URL): Readonly<Record<string, string>> {
    const { headers } = this.#options;
    if (this.#isTrusted(url)) return headers;
    return Object.fromEntries(
      Object.entries(headers).filter(([name]) => name.toLowerCase() === 'user-agent'),
    );
  }

  /**
   * Closes what the run opened; a caller's own transport stays open.
   * @param fate `reusable`: the upload is completed, so that another job may have the connection
   */
  close(fate: { readonly reusable: boolean }): Promise<void> {
    return this.#close(fate);
  }
}

interface OpenTransport {
  readonly transport: Transport;
  readonly close: (fate: { readonly reusable: boolean }) => Promise<void>;
}

function openTransport(options: ResolvedOptions, remoteUrl: URL): OpenTransport {
  const { transport: own, auth, headers, allowInsecureAuth, trustedHosts } = options;
  const authenticated = (bare: Transport): Transport => {
    if (auth === undefined && headerValue(headers, 'authorization') === undefined) return bare;
    return withAuthentication(bare, {
      server: auth,
      allowInsecureAuth,
      mayAuthenticate: ({ host }) => isTrustedHost(host, remoteUrl, trustedHosts),
    });
  };
  const key = own === undefined ? connectionKey(options, remoteUrl) : undefined;
  if (key !== undefined) {
    const loan = idleTransports.borrow(key, () => defaultTransport(options, remoteUrl));
    return {
      transport: authenticated(loan.transport),
      close: (fate) => loan.giveBack(fate),
    };
  }
  const bare = own ?? defaultTransport(options, remoteUrl);
  return {
    transport: authenticated(bare),
    close: async () => {
      if (own === undefined) await bare.close();
    },
  };
}

/** The default transport, as the options want it. */
export function defaultTransport(options: ResolvedOptions, remoteUrl: URL): UndiciTransport {
  const { tls, proxy, noProxy, headers, timeouts } = options;
  const servername = tls?.servername;
  return new UndiciTransport({
    proxy,
    noProxy,
    connectTimeoutMs: timeouts.connectMs,
    // Packets have it as a header already; this is for the proxy.
    userAgent: headerValue(headers, 'user-agent'),
    tls: tls && {
      ...tls,
      // The host of a BITS-Host-Id has a certificate of its own.
      ...(typeof servername === 'string' && {
        servername: (hostname: string) =>
          hostname === remoteUrl.hostname.replace(/^\[(.*)\]$/, '$1') ? servername : undefined,
      }),
    },
  });
}
