import type { Socket } from 'node:net';
import type { WireConnection } from '../transport.js';
import { type ConnectAnswer, NotHttpError, readConnectAnswer } from './connect-answer.js';
import type { ProxyAuth, ProxyChallenged } from './proxy-auth.js';
import { proxyFailed, proxyUnreachable, tunnelRefused } from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

export interface TunnelParts {
  readonly proxy: ProxyServer;
  readonly auth: ProxyAuth;
  readonly userAgent: string;
  /** A new connection to the proxy. */
  readonly connect: () => Promise<Socket>;
}

/** Enough for a handshake, a change of scheme and a lost connection. */
const MAX_ATTEMPTS = 8;

/**
 * Makes a tunnel through an HTTP proxy (CONNECT, RFC 9110 §9.3.6), and proves on the same
 * connection who one is when the proxy asks.
 *
 * @param target `host:port`
 * @returns a socket that leads to the target.
 * @throws BITS_ERR_PROXY, BITS_ERR_AUTH
 */
export function openHttpTunnel(target: string, parts: TunnelParts): Promise<Socket> {
  return parts.auth.takeTurn(undefined, () => converse(target, parts));
}

async function converse(target: string, parts: TunnelParts): Promise<Socket> {
  const { proxy, auth, userAgent } = parts;
  let leg: Leg | undefined;
  let challenged: ProxyChallenged | undefined;
  for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
    leg = leg?.isOpen ? leg : new Leg(await parts.connect());
    try {
      const attempt = await auth.prepare({ method: 'CONNECT', target }, challenged);
      const answer = await leg.ask(connectHead(target, attempt.value, userAgent));
      const { status, headers } = answer;
      auth.answered(attempt, headers, leg, status !== 407);
      if (status < 300) return leg.handOver();
      if (status !== 407) throw tunnelRefused(proxy, target, status);
      challenged = { attempt, headers, connection: leg };
    } catch (error) {
      leg.cut();
      throw error instanceof NotHttpError
        ? proxyFailed(proxy, 'does not answer as an HTTP proxy does: check its address and kind', {
            retryable: false,
          })
        : proxyUnreachable(error, proxy);
    }
  }
  leg?.cut();
  throw proxyFailed(proxy, 'asks for authentication without end: check its log', {
    retryable: true,
  });
}

/** A connection to the proxy, until it has become a tunnel. */
class Leg implements WireConnection {
  readonly peerCertificate = undefined;
  readonly #socket: Socket;
  #isUsable = true;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get isOpen(): boolean {
    return this.#isUsable && !this.#socket.destroyed && !this.#socket.readableEnded;
  }

  async ask(head: string): Promise<ConnectAnswer> {
    this.#socket.write(head, 'latin1');
    const answer = await readConnectAnswer(this.#socket);
    if (!answer.staysOpen) this.cut();
    return answer;
  }

  handOver(): Socket {
    this.#isUsable = false;
    return this.#socket;
  }

  cut(): void {
    this.#isUsable = false;
    this.#socket.destroy();
  }
}

function connectHead(target: string, authorization: string | undefined, userAgent: string): string {
  const lines = [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    `User-Agent: ${userAgent}`,
    'Proxy-Connection: Keep-Alive',
    ...(authorization === undefined ? [] : [`Proxy-Authorization: ${authorization}`]),
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}
