import { unlessAborted } from '../common/abort.js';
import { AwakeTime } from '../common/awake-time.js';
import { headerValue } from '../common/header-fields.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { isTrustedHost } from '../protocol/host-id.js';
import { redactUrl } from '../protocol/remote-url.js';
import { Authenticator } from '../transport/auth/authenticator.js';
import { exposedAuthorization } from '../transport/auth/private-channel.js';
import { withoutBrackets } from '../transport/dial.js';
import type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireRequest,
  WireResponse,
} from '../transport/transport.js';
import { UndiciTransport } from '../transport/undici.js';
import { type Bandwidth, paced } from './bandwidth.js';
import { connectionKey } from './connection-key.js';
import { CHANNELS, redactHeaders } from './diagnostics.js';
import { idleTransports, type ReusableTransport } from './idle-transports.js';
import {
  callHook,
  checkHookHeaders,
  type PacketKind,
  type PacketRequest,
  type PacketResponse,
} from './packet-hooks.js';
import { Redirects } from './redirects.js';
import type { ResolvedOptions } from './resolve-options.js';

/** How one packet is sent; the limits of the job are filled in. */
export interface PacketOptions extends Omit<SendOptions, 'stallTimeoutMs' | 'answerTimeoutMs'> {
  readonly signal: AbortSignal;
  /** @default timeouts.answerMs */
  readonly answerTimeoutMs?: number | undefined;
}

/** A run's way to the server: its transport, with authentication, hooks and redirects around it. */
export class Wire {
  readonly redirects: Redirects;
  readonly transport: Transport;
  readonly options: ResolvedOptions;
  /** Of the file, with its name. */
  readonly remoteUrl: URL;
  readonly #jobId: string;
  /** What the run has opened, or taken over from a completed job; undefined: the caller's own is used. */
  readonly #opened: ReusableTransport | undefined;
  /** Of the jobs that may have its connection afterwards. */
  readonly #key: string | undefined;
  /** The transport, with authentication where there is any. */
  readonly #sender: Pick<Transport, 'send'>;
  /** A caller's code may be asked: a transport, or a function for credentials. It may not obey the signal. */
  readonly #mayHang: boolean;

  constructor(options: ResolvedOptions, remoteUrl: URL, jobId: string) {
    this.options = options;
    this.remoteUrl = remoteUrl;
    this.#jobId = jobId;
    this.redirects = new Redirects(remoteUrl, options);
    const { auth, headers, allowInsecureAuth } = options;
    let { transport } = options;
    if (transport === undefined) {
      this.#key = connectionKey(options, remoteUrl);
      const idle = this.#key === undefined ? undefined : idleTransports.take(this.#key);
      this.#opened = idle ?? defaultTransport(options, remoteUrl);
      transport = this.#opened;
    }
    this.transport = transport;
    const authenticates = auth !== undefined || headerValue(headers, 'authorization') !== undefined;
    this.#sender = authenticates
      ? new Authenticator(transport, {
          server: auth,
          allowInsecureAuth,
          mayAuthenticate: (url) => this.#isTrusted(url),
        })
      : transport;
    this.#mayHang = this.#key === undefined || authenticates;
  }

  /**
   * Sends one request, as the caller's hooks want it.
   * @throws what {@link prepare} and {@link transmit} throw
   */
  async send(
    packet: PacketKind,
    request: WireRequest,
    options: PacketOptions,
  ): Promise<WireResponse> {
    const prepared = await this.prepare(packet, request, options.signal);
    return (await this.transmit(packet, prepared, options)).response;
  }

  /**
   * The request as it is to be sent; the server knows nothing of it yet.
   * @throws BITS_ERR_ARGUMENT when a hook throws or returns headers that cannot be sent
   */
  async prepare(
    packet: PacketKind,
    request: WireRequest,
    signal: AbortSignal,
  ): Promise<WireRequest> {
    const { methodOverride, onRequest } = this.options;
    const outgoing = methodOverride ? overridden(request) : request;
    if (onRequest === undefined) return outgoing;
    const described = this.#describe(packet, outgoing);
    const more = await callHook('onRequest', () => onRequest(described), signal);
    // What the hook adds may be a secret, too.
    if (!more || !this.#isTrusted(outgoing.url)) return outgoing;
    return { ...outgoing, headers: { ...outgoing.headers, ...checkHookHeaders(more) } };
  }

  /**
   * Sends what {@link prepare} gave; from now on the server may have it.
   * @returns `elapsedMs`: until the head of the answer
   * @throws BITS_ERR_ARGUMENT when a hook throws, and what the transport throws
   */
  async transmit(
    packet: PacketKind,
    request: WireRequest,
    options: PacketOptions,
  ): Promise<{ readonly response: WireResponse; readonly elapsedMs: number }> {
    const { onResponse, timeouts, bandwidth } = this.options;
    const { signal, answerBody } = options;
    if (CHANNELS.request.hasSubscribers) {
      CHANNELS.request.publish(this.#describe(packet, request));
    }
    const time = new AwakeTime();
    let response: WireResponse;
    let elapsedMs: number;
    try {
      const answer = this.#sender.send(withPacedBody(request, bandwidth, signal), {
        ...options,
        stallTimeoutMs: timeouts.stallMs,
        answerTimeoutMs: options.answerTimeoutMs ?? timeouts.answerMs,
      });
      response = await (this.#mayHang ? unlessAborted(answer, signal) : answer);
      elapsedMs = time.elapsedMs;
    } catch (error) {
      if (CHANNELS.failure.hasSubscribers) {
        CHANNELS.failure.publish({ ...this.#about(packet, request), error });
      }
      throw error;
    } finally {
      time.stop();
    }
    if (onResponse !== undefined || CHANNELS.response.hasSubscribers) {
      const answered: PacketResponse = {
        ...this.#about(packet, request),
        status: response.status,
        headers: redactHeaders(response.headers),
        elapsedMs: Math.round(elapsedMs),
      };
      CHANNELS.response.publish(answered);
      if (onResponse) await callHook('onResponse', () => onResponse(answered), signal);
    }
    if (bandwidth?.replies !== true || answerBody !== 'stream') return { response, elapsedMs };
    const body = paced(response.body, bandwidth, signal);
    return { response: { ...response, body }, elapsedMs };
  }

  /** What this way cannot do, or does in the open. */
  get limitations(): readonly TransportLimitation[] {
    const { limitations } = this.transport;
    const exposed = exposedAuthorization(this.options.headers, this.remoteUrl);
    return exposed === undefined ? limitations : [...limitations, exposed];
  }

  /** Sees to it that the next request goes over a new connection, as far as the transport can. */
  dropConnections(): void {
    this.transport.dropConnections?.();
  }

  /** The caller's headers, as far as they may go to the host of a URL. */
  headersFor(url: URL): Readonly<Record<string, string>> {
    const { headers } = this.options;
    if (this.#isTrusted(url)) return headers;
    return Object.fromEntries(
      Object.entries(headers).filter(([name]) => name.toLowerCase() === 'user-agent'),
    );
  }

  /**
   * Closes what the run opened; a caller's own transport stays open.
   * @param options `reusable`: the upload is completed, so that another job may have the connection
   */
  async close({ reusable }: { readonly reusable: boolean }): Promise<void> {
    if (this.#opened === undefined) return;
    if (reusable && this.#key !== undefined) await idleTransports.keep(this.#key, this.#opened);
    else await this.#opened.close();
  }

  #isTrusted({ host }: URL): boolean {
    return isTrustedHost(host, this.remoteUrl, this.options.trustedHosts);
  }

  #about(packet: PacketKind, { method, url }: WireRequest) {
    return { jobId: this.#jobId, packet, method, url: redactUrl(url) };
  }

  #describe(packet: PacketKind, request: WireRequest): PacketRequest {
    return {
      ...this.#about(packet, request),
      headers: redactHeaders(request.headers),
      bodyBytes: request.body?.byteLength ?? 0,
    };
  }
}

/** For front ends that block the verb: they see a POST, and the server the verb in a header. */
function overridden(request: WireRequest): WireRequest {
  if (request.method !== BITS_METHOD) return request;
  const headers = { ...request.headers, 'X-HTTP-Method-Override': BITS_METHOD };
  return { ...request, method: 'POST', headers };
}

function withPacedBody(
  request: WireRequest,
  bandwidth: Bandwidth | undefined,
  signal: AbortSignal,
): WireRequest {
  const { body } = request;
  if (body === undefined || bandwidth === undefined) return request;
  const pieces = () => paced(body.pieces(), bandwidth, signal);
  return { ...request, body: { byteLength: body.byteLength, pieces } };
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
          hostname === withoutBrackets(remoteUrl.hostname) ? servername : undefined,
      }),
    },
  });
}
