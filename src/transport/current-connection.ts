import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { WireConnection } from './transport.js';

let latest: WireConnection | undefined;

/**
 * The connection whose bytes are being parsed: to be called while an answer is handed over, for
 * undici does that in the turn in which it reads them.
 */
export function currentConnection(): WireConnection | undefined {
  return latest;
}

/** Makes a socket one that {@link currentConnection} knows. */
export function tellConnection(socket: Socket): void {
  const connection: WireConnection = {
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
