import { type BitsError, BitsTransportError, isBitsError } from '../errors.js';
import type { ResolvedOptions } from '../job/options.js';
import { openWire, type Wire } from '../job/wire.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { decodeAnswer } from '../protocol/decode.js';
import { encodeRequest } from '../protocol/encode.js';
import { withHost } from '../protocol/host-id.js';
import type { Ack, HostId, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import type { Transport, WireResponse } from '../transport/transport.js';
import { aborted, withinLimit } from './time-limit.js';
import { type Attempt, Witness } from './witness.js';

/** What came of one packet. */
export interface Exchanged {
  /** All requests that it took. */
  readonly attempts: readonly Attempt[];
  readonly durationMs: number;
  /** Exactly one of these. */
  readonly ack?: Ack;
  readonly refusal?: Refusal;
  readonly error?: BitsError;
}

/** A request as the packet layer makes it. */
interface PacketRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly url: URL;
}

/** Sends packets exactly as a job does. */
export class Conversation {
  readonly #witness: Witness;
  readonly #wire: Wire;
  readonly #options: ResolvedOptions;
  readonly #limitMs: number;

  /** @param limitMs for all requests that one packet takes. */
  constructor(transport: Transport, options: ResolvedOptions, limitMs: number) {
    this.#witness = new Witness(transport);
    this.#wire = openWire({ ...options, transport: this.#witness }, options.remoteUrl);
    this.#options = options;
    this.#limitMs = limitMs;
  }

  /** @throws BITS_ERR_ABORTED when the caller's signal aborts; nothing else. */
  send(packet: RequestPacket, hostId?: HostId): Promise<Exchanged> {
    const { method, headers } = encodeRequest(packet);
    const { remoteUrl } = this.#options;
    const url = hostId === undefined ? remoteUrl : withHost(remoteUrl, hostId);
    return this.#exchange(packet, { method, headers, url });
  }

  /** Whether a Ping is taken that calls itself POST. */
  async isOverrideTaken(): Promise<boolean> {
    const { headers } = encodeRequest({ type: 'ping' });
    const { ack } = await this.#exchange(
      { type: 'ping' },
      {
        method: 'POST',
        headers: { ...headers, 'X-HTTP-Method-Override': BITS_METHOD },
        url: this.#options.remoteUrl,
      },
    );
    return ack !== undefined;
  }

  /** How the directory of the URL answers a plain HEAD; undefined: not at all. */
  async directoryStatus(): Promise<number | undefined> {
    const url = new URL('.', this.#options.remoteUrl);
    try {
      return (await this.#request({ method: 'HEAD', headers: {}, url })).status;
    } catch {
      if (this.#options.signal?.aborted) throw aborted();
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.#wire.close();
    await this.#witness.close();
  }

  async #exchange(packet: RequestPacket, request: PacketRequest): Promise<Exchanged> {
    this.#witness.take();
    const startedMs = performance.now();
    const seen = () => ({
      attempts: this.#witness.take(),
      durationMs: performance.now() - startedMs,
    });
    try {
      const answer = await this.#request(request);
      return { ...seen(), ...decodeAnswer(packet, answer, { nowMs: Date.now() }) };
    } catch (error) {
      if (this.#options.signal?.aborted) throw aborted();
      return { ...seen(), error: known(error) };
    }
  }

  #request({ method, headers, url }: PacketRequest): Promise<WireResponse> {
    const { signal, stallTimeoutMs, answerTimeoutMs } = this.#options;
    return withinLimit(this.#limitMs, signal, `${url.host} gave no answer`, (limited) =>
      this.#wire.transport.send(
        { method, url, headers: { ...headers, ...this.#options.headers } },
        { signal: limited, stallTimeoutMs, answerTimeoutMs, answerBody: 'discard' },
      ),
    );
  }
}

function known(error: unknown): BitsError {
  if (isBitsError(error)) return error;
  return new BitsTransportError('the request failed: see the cause', { cause: error });
}
