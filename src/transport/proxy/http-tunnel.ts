import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { propertyOf } from '../../common/error-like.js';
import { answerHeaders } from '../answer-head.js';
import type { ProtectionSpace } from '../auth/protection-space.js';
import type { WireConnection, WireResponse } from '../transport.js';
import {
  adviceFor,
  dataOfItsOwn,
  notProxy,
  proxyUnreachable,
  tunnelRefused,
} from './proxy-error.js';
import type { ProxyServer } from './proxy-server.js';

export interface TunnelParts {
  readonly proxy: ProxyServer;
  readonly space: ProtectionSpace;
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
  const { proxy, space, userAgent, signal } = parts;
  const agent = new TunnelAgent(parts.connect);
  let tunnel: Socket | undefined;
  try {
    const { status } = await space.send({
      method: 'CONNECT',
      target,
      hasBody: false,
      signal,
      send: async (added) => {
        const headers = { Host: target, 'User-Agent': userAgent, ...added };
        const { response, socket } = await ask(target, headers, agent, proxy);
        tunnel = socket;
        return response;
      },
    });
    if (tunnel === undefined) throw tunnelRefused(proxy, target, adviceFor(status));
    return tunnel;
  } catch (error) {
    throw proxyUnreachable(error, proxy);
  } finally {
    agent.destroy();
  }
}

/** Keeps one connection to the proxy, until that has become a tunnel. */
class TunnelAgent extends http.Agent {
  readonly #connect: () => Promise<Socket>;
  connection: WireConnection | undefined;

  constructor(connect: () => Promise<Socket>) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#connect = connect;
  }

  override createConnection(
    _options: http.ClientRequestArgs,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connect().then(
      (socket) => {
        this.connection = connectionOf(socket);
        done?.(null, socket);
      },
      (error) => done?.(error, undefined as never),
    );
  }
}

function connectionOf(socket: Socket): WireConnection {
  return {
    get isOpen() {
      return socket.writable && !socket.readableEnded;
    },
    get peerCertificate() {
      return socket instanceof TLSSocket ? socket.getPeerCertificate().raw : undefined;
    },
  };
}

const MAX_HEAD_BYTES = 64 * 1024;

/** A proxy may send 100 or 103, but has no reason to repeat it. */
const MAX_INTERIM_ANSWERS = 8;

/** @returns the socket, too, when the proxy has made the tunnel. */
async function ask(
  target: string,
  headers: Readonly<Record<string, string>>,
  agent: TunnelAgent,
  proxy: ProxyServer,
): Promise<{ response: WireResponse; socket: Socket | undefined }> {
  const request = http.request({
    agent,
    method: 'CONNECT',
    path: target,
    headers: { ...headers, 'Proxy-Connection': 'keep-alive' },
    maxHeaderSize: MAX_HEAD_BYTES,
  });
  readRefusals(request);
  let interimAnswers = 0;
  request.on('information', () => {
    if (++interimAnswers > MAX_INTERIM_ANSWERS) request.destroy(notProxy(proxy));
  });
  request.end();
  const [answer, socket, begun] = await Promise.race([
    once(request, 'connect') as Promise<[http.IncomingMessage, Socket, Buffer]>,
    once(request, 'response') as Promise<[http.IncomingMessage, undefined, undefined]>,
  ]).catch((error) => {
    throw String(propertyOf(Object(error), 'code')).startsWith('HPE_') ? notProxy(proxy) : error;
  });
  const status = answer.statusCode ?? 0;
  const response: WireResponse = {
    status,
    headers: answerHeaders(answer.rawHeaders),
    connection: agent.connection,
    body: answer,
  };
  const isTunnel = status >= 200 && status < 300;
  if (socket === undefined || (isTunnel && begun.length === 0)) return { response, socket };
  socket.destroy();
  if (isTunnel) throw dataOfItsOwn(proxy, begun);
  return { response, socket: undefined };
}

/**
 * Lets node:http read refusals of CONNECT, and 1xx before any answer, as it reads answers to other
 * methods: by itself it takes whatever comes for a tunnel, and leaves the body unread.
 */
function readRefusals(request: http.ClientRequest): void {
  Object.defineProperty(request, 'method', {
    get: () => {
      const { res } = request as { res?: http.IncomingMessage | null };
      const status = res?.statusCode ?? 200;
      return status === 101 || (status >= 200 && status < 300) ? 'CONNECT' : 'GET';
    },
  });
}
