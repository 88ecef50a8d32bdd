import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { buildConnector } from 'undici';
import { BitsTimeoutError } from '../errors.js';
import { shimConnector } from './wire-shim.js';

/** TLS settings, as `node:tls` names them. */
export type TlsOptions = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'servername' | 'minVersion' | 'rejectUnauthorized'
>;

/** Makes every socket of a transport, and knows those that are not connected yet. */
export class Connector {
  readonly #connect: buildConnector.connector;
  readonly #timeoutMs: number;
  readonly #pending = new Map<Socket, string>();

  constructor(build: typeof buildConnector, tls: TlsOptions | undefined, connectTimeoutMs: number) {
    this.#timeoutMs = connectTimeoutMs;
    this.#connect = build({
      ...tls,
      // BITS is HTTP/1.1 only ([MC-BUP] §2.2.1); undici 8 would offer HTTP/2.
      allowH2: false,
      // undici's own timer is late by up to a second.
      timeout: 0,
    } as buildConnector.BuildOptions);
  }

  readonly connect: buildConnector.connector = shimConnector((options, callback) => {
    const { hostname, port, protocol } = options;
    const host = port ? `${hostname}:${port}` : hostname;
    // undici's connector returns the socket, though its type does not say so.
    const connect = this.#connect as unknown as (...args: unknown[]) => Socket | undefined;
    const timer = setTimeout(() => {
      socket?.destroy(
        new BitsTimeoutError(
          `${host} did not accept the connection within ${this.#timeoutMs} ms (connectTimeoutMs): check the address, firewalls and that the server is running`,
        ),
      );
    }, this.#timeoutMs);
    const socket = connect(options, (...result: Parameters<buildConnector.Callback>) => {
      clearTimeout(timer);
      if (socket) this.#pending.delete(socket);
      callback(...result);
    });
    if (!socket) return;
    this.#pending.set(socket, `${protocol}//${options.host ?? host}`);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#pending.delete(socket);
    });
  });

  /** Ends the attempts to reach an origin, or any, that nobody waits for any more. */
  cut(origin?: string): void {
    for (const [socket, itsOrigin] of this.#pending) {
      if (origin === undefined || itsOrigin === origin)
        socket.destroy(new Error('No request waits for this connection'));
    }
  }
}
