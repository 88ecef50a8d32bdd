import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A loopback port that nobody uses; it was open for a moment, so that each call gives another. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const MAX_ATTEMPTS = 500;
const PAUSE_MS = 20;

/**
 * Resolves when something accepts connections on the port.
 * @param signal gives up early, as when the process that should listen has ended
 */
export async function untilAnswers(port: number, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    signal.throwIfAborted();
    if (await accepts(port)) return;
    await delay(PAUSE_MS, undefined, { signal });
  }
  throw new Error(`nothing listens on port ${port} after ${(MAX_ATTEMPTS * PAUSE_MS) / 1000} s`);
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
