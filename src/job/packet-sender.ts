import { unlessAborted } from '../common/abort.js';
import { isCredentialHeader } from '../common/header-fields.js';
import { BitsArgumentError } from '../errors.js';
import { BITS_METHOD } from '../protocol/constants.js';
import type { PacketType } from '../protocol/packets.js';
import { redactUrl } from '../protocol/remote-url.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport/transport.js';
import { checkHeaders } from './check-headers.js';
import { CHANNELS, redactHeaders } from './diagnostics.js';

/** A packet of the protocol, the GET for the reply, or the HEAD of `put --skip-existing`. */
export type PacketKind = PacketType | 'get-reply' | 'head';

/** One request, as hooks and diagnostics see it: secrets are left out. */
export interface PacketRequest {
  readonly jobId: string;
  readonly packet: PacketKind;
  /** As sent. */
  readonly method: string;
  /** Without the values of a query. */
  readonly url: string;
  /** Without those of the connection; values that may be secret are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

/** The answer to a {@link PacketRequest}, of any status. */
export interface PacketResponse extends Omit<PacketRequest, 'headers' | 'bodyBytes'> {
  readonly status: number;
  /** In lower case; values that may be secret are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  /** From the request to the head of the answer. */
  readonly elapsedMs: number;
}

/**
 * Called before each request; what it returns is sent as headers, such as a correlation id.
 *
 * The protocol's own headers and credentials cannot be set. What it throws ends the job with
 * BITS_ERR_ARGUMENT and the error as `cause`.
 */
export type RequestHook = (
  request: PacketRequest,
) => HookHeaders | undefined | void | Promise<HookHeaders | undefined> | Promise<void>;

type HookHeaders = Readonly<Record<string, string>>;

/** Called with each answer; what it throws ends the job as with {@link RequestHook}. */
export type ResponseHook = (response: PacketResponse) => void | Promise<void>;

export interface PacketHooks {
  readonly methodOverride: boolean;
  readonly onRequest: RequestHook | undefined;
  readonly onResponse: ResponseHook | undefined;
}

/** Sends the packets of a job, and tells hooks and diagnostics channels about them. */
export class PacketSender {
  readonly #transport: Pick<Transport, 'send'>;
  readonly #hooks: PacketHooks;
  readonly #jobId: string;
  readonly #isTrusted: (url: URL) => boolean;

  constructor(
    transport: Pick<Transport, 'send'>,
    hooks: PacketHooks,
    jobId: string,
    isTrusted: (url: URL) => boolean,
  ) {
    this.#transport = transport;
    this.#hooks = hooks;
    this.#jobId = jobId;
    this.#isTrusted = isTrusted;
  }

  /**
   * @param onHandOver called when the request goes to the transport, and the server may get it
   * @throws BITS_ERR_ARGUMENT when a hook throws or returns headers that cannot be sent, and what the
   *   transport throws
   */
  async send(
    packet: PacketKind,
    request: WireRequest,
    options: SendOptions,
    onHandOver: () => void = () => {},
  ): Promise<WireResponse> {
    const { methodOverride, onRequest, onResponse } = this.#hooks;
    const { signal } = options;
    let outgoing = methodOverride ? overridden(request) : request;
    const about = {
      jobId: this.#jobId,
      packet,
      method: outgoing.method,
      url: redactUrl(outgoing.url),
    };
    const describe = (): PacketRequest => ({
      ...about,
      headers: redactHeaders(outgoing.headers),
      bodyBytes: outgoing.body?.byteLength ?? 0,
    });
    if (onRequest !== undefined) {
      const more = await callHook('onRequest', () => onRequest(describe()), signal);
      // What the hook adds may be a secret, too.
      if (more && this.#isTrusted(outgoing.url))
        outgoing = { ...outgoing, headers: { ...outgoing.headers, ...checkHookHeaders(more) } };
    }
    if (CHANNELS.request.hasSubscribers) CHANNELS.request.publish(describe());
    const sentAtMs = performance.now();
    let response: WireResponse;
    onHandOver();
    try {
      response = await unlessAborted(this.#transport.send(outgoing, options), signal);
    } catch (error) {
      CHANNELS.failure.publish({ ...about, error });
      throw error;
    }
    if (onResponse === undefined && !CHANNELS.response.hasSubscribers) return response;
    const answered: PacketResponse = {
      ...about,
      status: response.status,
      headers: redactHeaders(response.headers),
      elapsedMs: Math.round(performance.now() - sentAtMs),
    };
    CHANNELS.response.publish(answered);
    if (onResponse) await callHook('onResponse', () => onResponse(answered), signal);
    return response;
  }
}

/** For front ends that block the verb: they see a POST, and the server the verb in a header. */
function overridden(request: WireRequest): WireRequest {
  if (request.method !== BITS_METHOD) return request;
  const headers = { ...request.headers, 'X-HTTP-Method-Override': BITS_METHOD };
  return { ...request, method: 'POST', headers };
}

function checkHookHeaders(headers: HookHeaders): Readonly<Record<string, string>> {
  const checked = checkHeaders(headers);
  const credential = Object.keys(checked).find(isCredentialHeader);
  if (credential === undefined) return checked;
  throw new BitsArgumentError(
    `onRequest returned the header ${credential}, which must not go to every host: use auth or headers.`,
  );
}

async function callHook<T>(
  name: string,
  hook: () => T | Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  try {
    return await unlessAborted((async () => hook())(), signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BitsArgumentError(`The function ${name} threw an error; see its cause.`, { cause });
  }
}
