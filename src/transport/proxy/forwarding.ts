import { drain } from '../auth/drain.js';
import { pingFor, pingOptions } from '../auth/handshake-ping.js';
import type { SendOptions, WireRequest, WireResponse } from '../transport.js';
import type { ProxyAuth, ProxyChallenged } from './proxy-auth.js';
import { proxyFailed } from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

/** Enough for a handshake, a change of scheme and a lost connection. */
const MAX_ATTEMPTS = 12;

type Send = (request: WireRequest, options: SendOptions) => Promise<WireResponse>;

/** Sends whole requests to a proxy, and tells it who one is when it asks (407). */
export class Forwarding {
  readonly #proxy: ProxyServer;
  readonly #auth: ProxyAuth;
  readonly #send: Send;

  constructor(proxy: ProxyServer, auth: ProxyAuth, send: Send) {
    this.#proxy = proxy;
    this.#auth = auth;
    this.#send = send;
  }

  /** @throws BITS_ERR_AUTH when credentials are missing or refused, BITS_ERR_PROXY */
  send(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    return this.#auth.takeTurn(options.signal, () => this.#converse(request, options));
  }

  async #converse(request: WireRequest, options: SendOptions): Promise<WireResponse> {
    const hasBody = (request.body?.byteLength ?? 0) > 0;
    let challenged: ProxyChallenged | undefined;
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      if (challenged !== undefined) await this.#auth.challenged(challenged);
      // A handshake takes several requests: it is paid with Pings, not with fragments (<9>).
      const isPing = hasBody && this.#auth.needsHandshake;
      const result = isPing
        ? await this.#attempt(pingFor(request), pingOptions(options), challenged)
        : await this.#attempt(request, options, challenged);
      if ('challenged' in result) challenged = result.challenged;
      else if (isPing) challenged = undefined;
      else return result.response;
    }
    throw proxyFailed(
      this.#proxy,
      'asks for authentication without end: check that it keeps its connections open, as NTLM and Negotiate need it',
      { retryable: true },
    );
  }

  async #attempt(
    request: WireRequest,
    options: SendOptions,
    challenged: ProxyChallenged | undefined,
  ): Promise<{ readonly response: WireResponse } | { readonly challenged: ProxyChallenged }> {
    const line = { method: request.method, target: request.url.href };
    const attempt = await this.#auth.prepare(line, challenged);
    const { value } = attempt;
    const headers =
      value === undefined ? request.headers : { ...request.headers, 'Proxy-Authorization': value };
    const response = await this.#send({ ...request, headers }, options);
    const isAccepted = response.status !== 407;
    if (!isAccepted) await drain(response);
    const { connection } = response;
    this.#auth.answered(attempt, response.headers, connection, isAccepted);
    if (isAccepted) return { response };
    return { challenged: { attempt, headers: response.headers, connection } };
  }
}
