import { headerValue } from '../common/header-fields.js';
import { parseChallenges } from '../transport/auth/challenges.js';
import type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireRequest,
  WireResponse,
} from '../transport/transport.js';

/** One request and its answer. */
export interface Attempt {
  readonly host: string;
  /** The scheme of its `Authorization` header, as sent. */
  readonly scheme: string | undefined;
  readonly durationMs: number;
  /** Undefined: no answer came. */
  readonly status: number | undefined;
  /** What `WWW-Authenticate` names, as a user reads it. */
  readonly offers: readonly string[];
  /** The `Server` header of the answer, if it is safe to show. */
  readonly server: string | undefined;
}

/** Records each request that the layers above a transport send for one packet. */
export class Witness implements Transport {
  readonly limitations: readonly TransportLimitation[];
  readonly #inner: Transport;
  #attempts: Attempt[] = [];

  constructor(inner: Transport) {
    this.#inner = inner;
    this.limitations = inner.limitations;
  }

  /** The requests since the last call. */
  take(): readonly Attempt[] {
    const attempts = this.#attempts;
    this.#attempts = [];
    return attempts;
  }

  async send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const startedMs = performance.now();
    let response: WireResponse | undefined;
    try {
      response = await this.#inner.send(request, options);
      return response;
    } finally {
      this.#attempts.push({
        host: request.url.host,
        scheme: schemeOf(request),
        durationMs: performance.now() - startedMs,
        status: response?.status,
        offers: offersOf(response),
        server: serverOf(response),
      });
    }
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

function schemeOf({ headers }: WireRequest): string | undefined {
  const value = headerValue(headers, 'authorization');
  if (value === undefined) return undefined;
  // A value without a scheme is the secret itself.
  return /^([A-Za-z][\w-]{0,30}) +\S/.exec(value)?.[1] ?? 'a scheme of its own';
}

const NAMES: ReadonlyMap<string, string> = new Map([
  ['basic', 'Basic'],
  ['bearer', 'Bearer'],
  ['digest', 'Digest'],
  ['ntlm', 'NTLM'],
  ['negotiate', 'Negotiate'],
]);

const MAX_OFFERS = 6;

function offersOf(response: WireResponse | undefined): string[] {
  if (response?.status !== 401) return [];
  const offers = parseChallenges(response.headers['www-authenticate']);
  const names = offers.map(({ scheme }) => NAMES.get(scheme) ?? scheme);
  return [...new Set(names)].slice(0, MAX_OFFERS);
}

function serverOf(response: WireResponse | undefined): string | undefined {
  const text = response?.headers.server?.trim();
  return text !== undefined && /^[A-Za-z][\w.\-/ ()]{0,60}$/.test(text) ? text : undefined;
}
