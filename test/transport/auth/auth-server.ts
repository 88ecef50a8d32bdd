import { createHash } from 'node:crypto';
import { parseChallenges } from '../../../src/transport/auth/challenges.js';
import {
  type RawConnection,
  type RawRequest,
  type RawServer,
  type RawServerOptions,
  startRawServer,
} from '../../support/raw-server.js';
import { NtlmServer } from './ntlm-server.js';

/** Lets a request in with undefined, or gives the `WWW-Authenticate` lines of a 401. */
export type Guard = (request: RawRequest) => readonly string[] | undefined;

export interface AuthServer extends RawServer {
  /** `Ping`, `Fragment`…, the status that it got, and the connection's number. */
  readonly log: readonly string[];
}

/** A server behind a guard: it acknowledges what is let in. */
export async function startAuthServer(
  guard: Guard,
  options: RawServerOptions & {
    readonly afterAnswer?: (request: RawRequest) => void;
    /** Body of a 401. */
    readonly page?: string;
  } = {},
): Promise<AuthServer> {
  const log: string[] = [];
  const server: RawServer = await startRawServer({
    ...options,
    onRequest: (request) => {
      const offers = guard(request);
      const packet = request.headers['bits-packet-type'] ?? request.method;
      const connection = server.connections.indexOf(request.connection);
      log.push(`${connection} ${packet} ${offers ? 401 : 200}`);
      const lines = offers
        ? offers.map((offer) => `WWW-Authenticate: ${offer}\r\n`).join('')
        : 'BITS-Packet-Type: Ack\r\n';
      const body = offers ? (options.page ?? '<p>Unauthorized</p>') : '';
      request.connection.socket.write(
        `HTTP/1.1 ${offers ? 401 : 200} X\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`,
      );
      options.afterAnswer?.(request);
    },
  });
  return { ...server, log };
}

export function authorizationOf(request: RawRequest): string | undefined {
  return request.headers.authorization;
}

/** NTLM as IIS does it: the connection is proven, and later requests need no header. */
export function ntlmGuard(
  options: { readonly token?: string; readonly others?: readonly string[] } = {},
): Guard & {
  readonly of: (connection: RawConnection) => NtlmServer;
  readonly answers: () => number;
} {
  const { token = 'NTLM', others = [] } = options;
  const servers = new Map<RawConnection, NtlmServer>();
  const of = (connection: RawConnection) => {
    const known = servers.get(connection) ?? new NtlmServer();
    servers.set(connection, known);
    return known;
  };
  const guard = (request: RawRequest) => {
    const server = of(request.connection);
    const value = authorizationOf(request);
    if (value === undefined) return server.isProven ? undefined : [token, ...others];
    const [scheme, message = ''] = value.split(' ');
    if (scheme !== token) return [token, ...others];
    const reply = server.take(Buffer.from(message, 'base64'));
    if (reply === undefined) return undefined;
    return reply === '' ? [token, ...others] : [`${token} ${reply}`];
  };
  const answers = () => [...servers.values()].reduce((sum, { answers: n }) => sum + n, 0);
  return Object.assign(guard, { of, answers });
}

/** Digest (RFC 7616) with one user; a nonce is good for `uses` requests. */
export function digestGuard(
  options: { readonly uses?: number; readonly algorithm?: string } = {},
): Guard & { readonly seen: Record<string, string>[] } {
  const { uses = Number.POSITIVE_INFINITY, algorithm = 'MD5' } = options;
  const hash = algorithm.startsWith('SHA-256') ? 'sha256' : 'md5';
  const hex = (text: string) => createHash(hash).update(text).digest('hex');
  const seen: Record<string, string>[] = [];
  let nonce = 'nonce-0';
  let nonces = 0;
  let count = 0;
  const offer = (stale: boolean) => {
    nonce = `nonce-${++nonces}`;
    count = 0;
    const more = stale ? ', stale=true' : '';
    return [
      `Digest realm="a \\"b\\"", qop="auth", algorithm=${algorithm}, nonce="${nonce}"${more}`,
    ];
  };
  const guard = (request: RawRequest) => {
    const value = parseChallenges(authorizationOf(request))[0];
    if (value?.scheme !== 'digest') return offer(false);
    const f = Object.fromEntries(value.params) as Record<string, string>;
    seen.push(f);
    const a1 = hex(`User:a "b":Password`);
    const a2 = hex(`${request.method}:${request.target}`);
    const expected = hex(`${a1}:${f.nonce}:${f.nc}:${f.cnonce}:${f.qop}:${a2}`);
    if (f.response !== expected || f.uri !== request.target) return offer(false);
    if (f.nonce !== nonce || Number.parseInt(f.nc ?? '', 16) !== count + 1 || count >= uses) {
      return offer(true);
    }
    count++;
    return undefined;
  };
  return Object.assign(guard, { seen });
}

export function basicGuard(password = 'Password'): Guard {
  const expected = `Basic ${Buffer.from(`User:${password}`).toString('base64')}`;
  return (request) =>
    authorizationOf(request) === expected ? undefined : ['Basic realm="x", charset="UTF-8"'];
}
