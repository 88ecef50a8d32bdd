import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { WireConnection } from './transport.js';

/** A connection, and what it broke with. */
export interface CurrentConnection extends WireConnection {
  /** Undefined after an orderly end, too. */
  readonly failure: Error | undefined;
}

let latest: CurrentConnection | undefined;

/**
 * The connection whose bytes are being parsed: to be called while an answer is handed over, for
 * undici does that in the turn in which it reads them.
 */
export function currentConnection(): CurrentConnection | undefined {
  return latest;
}

/** Makes a socket one that {@link currentConnection} knows. */
export function tellConnection(socket: Socket): void {
  let failure: Error | undefined;
  // Before undici hears of it, which may take it for the end of an answer.
  socket.prependListener('error', (error: Error) => {
    failure ??= error;
  });
  const connection: CurrentConnection = {
    get failure() {
      return failure;
    },
    get isOpen() {
      return !socket.destroyed && socket.writable && !socket.readableEnded;
    },
    get peerCertificate() {
      return socket instanceof TLSSocket ? socket.getPeerCertificate().raw : undefined;
    },
  };
  const read = socket.read.bind(socket);
  socket.read = (size?: number) => {
    latest = connection;
    return read(size);
  };
}
