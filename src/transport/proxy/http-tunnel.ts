import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { propertyOf } from '../../common/error-like.js';
import type { WireHeaders } from '../../protocol/packets.js';
import { EMPTY_BODY } from '../answer-body.js';
import { answerHeaders } from '../answer-head.js';
import type { WireConnection, WireResponse } from '../transport.js';
import type { ProxyAuth } from './proxy-auth.js';
import {
  adviceFor,
  notProxy,
  proxyFailed,
  proxyUnreachable,
  tunnelRefused,
} from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

export interface TunnelParts {
  readonly proxy: ProxyServer;
  readonly auth: ProxyAuth;
  readonly userAgent: string;
  /** Aborts when nobody waits for the tunnel any more. */
  readonly signal: AbortSignal;
  /** A new connection to the proxy. */
  readonly connect: () => Promise<Socket>;
}

/**
 * Makes a tunnel through an HTTP proxy (CONNECT, RFC 9110 §9.3.6), and authenticates on the same
 * connection when the proxy requires it.
 *
 * @param target `host:port`
 * @returns a socket that leads to the target.
 * @throws BITS_ERR_PROXY, BITS_ERR_AUTH
 */
export async function openHttpTunnel(target: string, parts: TunnelParts): Promise<Socket> {
  const { proxy, auth, userAgent, signal, connect } = parts;
  let leg: Leg | undefined;
  try {
    const { status } = await auth.send({
      method: 'CONNECT',
      target,
      hasBody: false,
      signal,
      send: async (added) => {
        if (!leg?.isOpen) leg = new Leg(await connect(), proxy);
        return leg.ask(target, { Host: target, 'User-Agent': userAgent, ...added });
      },
    });
    if (leg === undefined || status < 200 || status >= 300) {
      throw tunnelRefused(proxy, target, adviceFor(status));
    }
    return leg.handOver();
  } catch (error) {
    leg?.cut();
    throw proxyUnreachable(error, proxy);
  }
}

const MAX_HEAD_BYTES = 64 * 1024;

/** A proxy may say 100 or 102, but has no reason to repeat it. */
const MAX_INTERIM_ANSWERS = 8;

/** A connection to the proxy, until it has become a tunnel. */
class Leg implements WireConnection {
  readonly #socket: Socket;
  readonly #proxy: ProxyServer;
  #isUsable = true;

  constructor(socket: Socket, proxy: ProxyServer) {
    this.#socket = socket;
    this.#proxy = proxy;
    // What happens between two answers shows in the next one.
    socket.on('error', () => {});
  }

  get isOpen(): boolean {
    return this.#isUsable && this.#socket.writable && !this.#socket.readableEnded;
  }

  get peerCertificate(): Uint8Array | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket.getPeerCertificate().raw : undefined;
  }

  async ask(target: string, headers: Readonly<Record<string, string>>): Promise<WireResponse> {
    const [answer, begun] = await this.#connect(target, headers);
    const status = answer.statusCode ?? 0;
    const received = answerHeaders(answer.rawHeaders);
    if (status === 407) {
      const isReusable = staysOpen(answer.httpVersion, received);
      if (!isReusable || !(await skipPage(this.#socket, begun, received))) this.cut();
    } else if (begun.length > 0 && status < 300) {
      // The server behind it says nothing before it is asked, neither in HTTP nor in TLS.
      throw proxyFailed(this.#proxy, 'sent data of its own through the tunnel: check its address', {
        retryable: true,
      });
    }
    return { status, headers: received, connection: this, body: EMPTY_BODY };
  }

  handOver(): Socket {
    this.#isUsable = false;
    return this.#socket;
  }

  cut(): void {
    this.#isUsable = false;
    this.#socket.destroy();
  }

  /** The head of the answer, and what came after it in the same segment. */
  async #connect(
    target: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<[http.IncomingMessage, Buffer]> {
    const request = http.request({
      method: 'CONNECT',
      path: target,
      headers: { ...headers, 'Proxy-Connection': 'keep-alive', Connection: 'keep-alive' },
      createConnection: () => this.#socket,
      maxHeaderSize: MAX_HEAD_BYTES,
    });
    let interimAnswers = 0;
    request.on('information', () => {
      if (++interimAnswers > MAX_INTERIM_ANSWERS) request.destroy(notProxy(this.#proxy));
    });
    request.end();
    try {
      const [answer, , begun] = await once(request, 'connect');
      return [answer, begun];
    } catch (error) {
      throw String(propertyOf(Object(error), 'code')).startsWith('HPE_')
        ? notProxy(this.#proxy)
        : error;
    }
  }
}

function staysOpen(httpVersion: string, headers: WireHeaders): boolean {
  const connection = headers.connection ?? headers['proxy-connection'] ?? '';
  return httpVersion === '1.1' ? !/\bclose\b/i.test(connection) : /keep-alive/i.test(connection);
}

/** The page that explains a 407 is not read beyond this. */
const MAX_PAGE_BYTES = 64 * 1024;

/**
 * Reads the body of an answer to CONNECT, which node:http leaves in the socket whatever the status.
 *
 * @param begun what of it has been read.
 * @returns false when its end cannot be found, so that the connection cannot be used again.
 */
async function skipPage(socket: Socket, begun: Buffer, headers: WireHeaders): Promise<boolean> {
  if (begun.length > 0) socket.unshift(begun);
  const skip = async (bytes: number) => (await read(socket, bytes)).length === bytes;
  if (headers['transfer-encoding'] === undefined) {
    const bytes = Number(headers['content-length'] ?? Number.NaN);
    return bytes <= MAX_PAGE_BYTES && skip(bytes);
  }
  let left = MAX_PAGE_BYTES;
  for (;;) {
    let line = '';
    while (!line.endsWith('\r\n')) {
      const character = await read(socket, 1);
      if (character.length === 0 || --left < 0) return false;
      line += character.toString('latin1');
    }
    const size = /^[0-9a-f]{1,5}(?=[ \t;\r])/i.exec(line)?.[0];
    const bytes = Number.parseInt(size ?? '', 16);
    left -= bytes;
    if (!(left >= 0) || !(await skip(bytes + 2))) return false;
    // Trailers are not expected: they would make the next answer unreadable.
    if (bytes === 0) return true;
  }
}

/** Fewer bytes only when the connection ends. */
async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = bytes === 0 ? Buffer.alloc(0) : (socket.read(bytes) as Buffer | null);
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) return Buffer.alloc(0);
    await new Promise<void>((resolve) => {
      const wake = () => {
        socket.off('readable', wake).off('close', wake);
        resolve();
      };
      socket.on('readable', wake).on('close', wake);
    });
  }
}
