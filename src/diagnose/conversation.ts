import { randomUUID } from 'node:crypto';
import { throwIfAborted } from '../common/abort.js';
import { type BitsError, BitsTransportError, isBitsError } from '../errors.js';
import type { PacketKind } from '../job/packet-hooks.js';
import type { ResolvedOptions } from '../job/resolve-options.js';
import { defaultTransport, Wire } from '../job/wire.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { decodeAnswer } from '../protocol/decode.js';
import { encodeRequest } from '../protocol/encode.js';
import { withHost } from '../protocol/host-id.js';
import type { Ack, HostId, PacketType, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import type { WireResponse } from '../transport/transport.js';
import { withinLimit } from './step.js';
import { type Attempt, Witness } from './witness.js';

type AckOf<T extends PacketType> = Extract<Ack, { type: T }>;

/** The outcome of one packet, and all requests that were sent for it. */
export type Exchanged<T extends PacketType> = {
  readonly attempts: readonly Attempt[];
  readonly durationMs: number;
} & (
  | { readonly ack: AckOf<T>; readonly failure?: undefined; readonly refusal?: undefined }
  | { readonly ack?: undefined; readonly failure: BitsError; readonly refusal?: Refusal }
);

/** Sends packets exactly as a job does. */
export class Conversation {
  readonly #witness: Witness;
  readonly #wire: Wire;
  readonly #options: ResolvedOptions;
  readonly #limitMs: number;

  /** @param limitMs for all requests of one packet */
  constructor(options: ResolvedOptions, limitMs: number) {
    this.#witness = new Witness(defaultTransport(options, options.remoteUrl));
    const through = { ...options, transport: this.#witness };
    this.#wire = new Wire(through, options.remoteUrl, randomUUID());
    this.#options = options;
    this.#limitMs = limitMs;
  }

  /** @throws BITS_ERR_ABORTED when the caller's signal aborts; nothing else */
  async send<P extends RequestPacket>(
    packet: P,
    remoteUrl: URL,
    hostId?: HostId,
  ): Promise<Exchanged<P['type']>> {
    const { redirects } = this.#wire;
    const { method, headers } = encodeRequest(packet);
    const first = redirects.current(hostId === undefined ? remoteUrl : withHost(remoteUrl, hostId));
    this.#witness.take();
    const startedMs = performance.now();
    const seen = () => ({
      attempts: this.#witness.take(),
      durationMs: performance.now() - startedMs,
    });
    try {
      const decoded = await this.#limited((signal) =>
        redirects.follow(packet, first, (url) => {
          const request = { method, url, headers: { ...headers, ...this.#wire.headersFor(url) } };
          return this.#wire.send(packet.type, request, { signal, answerBody: 'discard' });
        }),
      );
      if ('ack' in decoded) return { ...seen(), ack: decoded.ack as AckOf<P['type']> };
      const { refusal } = decoded;
      return { ...seen(), refusal, failure: refusal.error };
    } catch (error) {
      throwIfAborted(this.#options.signal);
      return { ...seen(), failure: known(error) };
    }
  }

  /** Whether the server accepts a Ping as POST with X-HTTP-Method-Override. */
  async isOverrideAccepted(): Promise<boolean> {
    const { methodOverride, remoteUrl } = this.#options;
    if (methodOverride) return false;
    const { headers } = encodeRequest({ type: 'ping' });
    const answer = await this.#ask(
      'ping',
      'POST',
      { ...headers, 'X-HTTP-Method-Override': BITS_METHOD },
      remoteUrl,
    );
    return (
      answer !== undefined && 'ack' in decodeAnswer({ type: 'ping' }, answer, { nowMs: Date.now() })
    );
  }

  /** The answer of the URL's directory to a HEAD; undefined: none. */
  async directoryStatus(): Promise<number | undefined> {
    const answer = await this.#ask('head', 'HEAD', {}, new URL('.', this.#options.remoteUrl));
    return answer?.status;
  }

  async close(): Promise<void> {
    await this.#wire.close({ reusable: false });
    await this.#witness.close();
  }

  /** Sends a request that an upload does not send. */
  async #ask(
    kind: PacketKind,
    method: string,
    headers: Readonly<Record<string, string>>,
    url: URL,
  ): Promise<WireResponse | undefined> {
    const request = { method, url, headers: { ...headers, ...this.#wire.headersFor(url) } };
    try {
      return await this.#limited((signal) =>
        this.#wire.send(kind, request, { signal, answerBody: 'discard' }),
      );
    } catch {
      throwIfAborted(this.#options.signal);
      return undefined;
    }
  }

  #limited<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, remoteUrl } = this.#options;
    return withinLimit(this.#limitMs, signal, `${remoteUrl.host} gave no answer`, work);
  }
}

function known(error: unknown): BitsError {
  if (isBitsError(error)) return error;
  return new BitsTransportError('the request failed: see the cause', { cause: error });
}
