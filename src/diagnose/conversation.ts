import { randomUUID } from 'node:crypto';
import { throwIfAborted } from '../common/abort.js';
import { type BitsError, BitsTransportError, isBitsError } from '../errors.js';
import type { ResolvedOptions } from '../job/resolve-options.js';
import { defaultTransport, Wire } from '../job/wire.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { decodeAnswer } from '../protocol/decode.js';
import { encodeRequest } from '../protocol/encode.js';
import { withHost } from '../protocol/host-id.js';
import type { Ack, HostId, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import type { WireResponse } from '../transport/transport.js';
import { withinLimit } from './step.js';
import { type Attempt, Witness } from './witness.js';

/** The outcome of one packet. */
export interface Exchanged {
  /** All requests that were sent for it. */
  readonly attempts: readonly Attempt[];
  readonly durationMs: number;
  /** The host that answered, after redirects. */
  readonly host: string;
  /** Exactly one of these. */
  readonly ack?: Ack;
  readonly refusal?: Refusal;
  readonly error?: BitsError;
}

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
  async send(packet: RequestPacket, remoteUrl: URL, hostId?: HostId): Promise<Exchanged> {
    const { headers: own } = this.#options;
    const { method, headers } = encodeRequest(packet);
    this.#witness.take();
    const startedMs = performance.now();
    let url = hostId === undefined ? remoteUrl : withHost(remoteUrl, hostId);
    const seen = () => ({
      attempts: this.#witness.take(),
      durationMs: performance.now() - startedMs,
      host: url.host,
    });
    try {
      const answer = await this.#limited(async (signal) => {
        url = this.#wire.redirects.current(url);
        for (let hops = 0; ; hops++) {
          const request = { method, url, headers: { ...headers, ...own } };
          const response = await this.#wire.send(packet.type, request, {
            signal,
            answerBody: 'discard',
          });
          // With the URL, so that the advice can name a better one.
          const context = { nowMs: Date.now(), url };
          const decoded = decodeAnswer(packet, response, context);
          const location = 'refusal' in decoded ? locationOf(decoded.refusal) : undefined;
          if (location === undefined) return decoded;
          url = this.#wire.redirects.next(url, response.status, location, hops);
        }
      });
      return { ...seen(), ...answer };
    } catch (error) {
      throwIfAborted(this.#options.signal);
      return { ...seen(), error: known(error) };
    }
  }

  /** Whether the server accepts a Ping as POST with X-HTTP-Method-Override. */
  async isOverrideAccepted(): Promise<boolean> {
    const { methodOverride, remoteUrl } = this.#options;
    if (methodOverride) return false;
    const { headers } = encodeRequest({ type: 'ping' });
    const answer = await this.#ask(
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
    const answer = await this.#ask('HEAD', {}, new URL('.', this.#options.remoteUrl));
    return answer?.status;
  }

  async close(): Promise<void> {
    await this.#wire.close({ reusable: false });
    await this.#witness.close();
  }

  /** Sends a request that is not a packet of an upload. */
  async #ask(
    method: string,
    headers: Readonly<Record<string, string>>,
    url: URL,
  ): Promise<WireResponse | undefined> {
    const request = { method, url, headers: { ...headers, ...this.#options.headers } };
    try {
      return await this.#limited((signal) =>
        this.#wire.transport.send(request, {
          signal,
          stallTimeoutMs: this.#options.timeouts.stallMs,
          answerTimeoutMs: this.#options.timeouts.answerMs,
          answerBody: 'discard',
        }),
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

function locationOf({ meaning, location }: Refusal): string | undefined {
  return meaning === 'redirect' ? location : undefined;
}

function known(error: unknown): BitsError {
  if (isBitsError(error)) return error;
  return new BitsTransportError('the request failed: see the cause', { cause: error });
}
