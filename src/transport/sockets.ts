import type { Socket } from 'node:net';
import os from 'node:os';

/** What a TLS socket runs over. */
const carriers = new WeakMap<Socket, Socket>();

/** Notes that a TLS socket runs over another one, and closes that one with it. */
export function carry(socket: Socket, carrier: Socket): void {
  carriers.set(socket, carrier);
  socket.once('close', () => carrier.destroy());
}

/** Closes a socket by a reset of its TCP connection, also when it is one of TLS. */
export function resetSocket(socket: Socket): void {
  const carrier = carriers.get(socket);
  if (carrier === undefined) socket.resetAndDestroy();
  else {
    resetSocket(carrier);
    socket.destroy();
  }
}

/** Whether this machine has an address; true when it cannot be known. */
export function isLocalAddress(address: string): boolean {
  try {
    return Object.values(os.networkInterfaces()).some((all) =>
      all?.some((one) => bare(one.address) === bare(address)),
    );
  } catch {
    return true;
  }
}

/** Without what some systems add: a zone, or the form of IPv4 in IPv6. */
function bare(address: string): string {
  return address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
}
