import { BitsArgumentError } from '../errors.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { redactUrl } from '../protocol/remote-url.js';
import type { WireRequest, WireResponse } from '../transport/transport.js';
import { CHANNELS } from './diagnostics.js';
import type { JobTransport, PacketOptions } from './job-transport.js';
import { checkHeaders, isCredentialHeader, type ResolvedOptions } from './options.js';
import type { PacketKind, PacketRequest, PacketResponse } from './packet-hooks.js';

const REDACTED = '[redacted]';

/** Sends the packets of a job, and lets those know who asked to. */
export class PacketSender {
  readonly #transport: Pick<JobTransport, 'send'>;
  readonly #options: Pick<ResolvedOptions, 'methodOverride' | 'onRequest' | 'onResponse'>;
  readonly #jobId: () => string;

  constructor(
    transport: Pick<JobTransport, 'send'>,
    options: Pick<ResolvedOptions, 'methodOverride' | 'onRequest' | 'onResponse'>,
    jobId: () => string,
  ) {
    this.#transport = transport;
    this.#options = options;
    this.#jobId = jobId;
  }

  /**
   * Rejects with BITS_ERR_ARGUMENT when a hook throws or returns headers that cannot be sent, and what
   *   the transport rejects with
   */
  send(packet: PacketKind, request: WireRequest, options: PacketOptions): Promise<WireResponse> {
    const onWire = this.#options.methodOverride ? overridden(request) : request;
    return this.#isWatched()
      ? this.#tell(packet, onWire, options)
      : this.#transport.send(onWire, options);
  }

  #isWatched(): boolean {
    const { onRequest, onResponse } = this.#options;
    const { request, response, failure } = CHANNELS;
    return (
      onRequest !== undefined ||
      onResponse !== undefined ||
      request.hasSubscribers ||
      response.hasSubscribers ||
      failure.hasSubscribers
    );
  }

  async #tell(
    packet: PacketKind,
    request: WireRequest,
    options: PacketOptions,
  ): Promise<WireResponse> {
    const { onRequest, onResponse } = this.#options;
    const signal = options.signal ?? options.abortSwitch?.signal;
    const told = this.#described(packet, request);
    const more = onRequest && (await callHook('onRequest', async () => onRequest(told), signal));
    const headers = { ...request.headers, ...(more && checkHookHeaders(more)) };
    const { url, method } = told;
    CHANNELS.request.publish({ ...told, headers: redacted(headers) });
    const startedMs = performance.now();
    const about = { jobId: told.jobId, packet, method, url };
    let response: WireResponse;
    try {
      response = await this.#transport.send({ ...request, headers }, options);
    } catch (error) {
      CHANNELS.failure.publish({ ...about, error });
      throw error;
    }
    const answered: PacketResponse = {
      ...about,
      status: response.status,
      headers: redacted(response.headers),
      elapsedMs: Math.round(performance.now() - startedMs),
    };
    CHANNELS.response.publish(answered);
    if (onResponse) await callHook('onResponse', async () => onResponse(answered), signal);
    return response;
  }

  #described(packet: PacketKind, request: WireRequest): PacketRequest {
    return {
      jobId: this.#jobId(),
      packet,
      method: request.method,
      url: redactUrl(request.url),
      headers: redacted(request.headers),
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

const SECRET_HEADERS = new Set(['set-cookie', 'authentication-info', 'proxy-authentication-info']);

function redacted(headers: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const isSecret = isCredentialHeader(name) || SECRET_HEADERS.has(name.toLowerCase());
    if (value !== undefined) shown[name] = isSecret ? REDACTED : value;
  }
  return shown;
}

function checkHookHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const checked = checkHeaders(headers);
  const credential = Object.keys(checked).find(isCredentialHeader);
  if (credential === undefined) return checked;
  throw new BitsArgumentError(
    `onRequest returned the header ${credential}, which may not go to every host: use auth or headers`,
  );
}

async function callHook<T>(
  name: string,
  hook: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  let onAbort!: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal?.reason);
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([hook(), aborted]);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BitsArgumentError(`the ${name} function threw; see the cause`, { cause });
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
