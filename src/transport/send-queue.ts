import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';

const ESTABLISHED = '01';

/**
 * How many bytes that the operating system has taken for a connection are not acknowledged by the other
 * end; undefined where it does not tell, which is everywhere but on Linux.
 */
export async function unacknowledgedBytes(socket: Socket): Promise<number | undefined> {
  const { localPort, remotePort, remoteFamily } = socket;
  if (process.platform !== 'linux' || !localPort || !remotePort) return undefined;
  const path = remoteFamily === 'IPv6' ? '/proc/self/net/tcp6' : '/proc/self/net/tcp';
  // Where it is not mounted, nothing is known.
  const table = await readFile(path, 'latin1').catch(() => '');
  return queuedBytes(table, localPort, remotePort);
}

/** @param table as described in proc(5), `/proc/net/tcp` */
export function queuedBytes(
  table: string,
  localPort: number,
  remotePort: number,
): number | undefined {
  const row = new RegExp(
    `^ *\\d+: [\\dA-F]+:${inHex(localPort)} [\\dA-F]+:${inHex(remotePort)} ${ESTABLISHED} ([\\dA-F]+):`,
    'gm',
  );
  const [found, ...others] = [...table.matchAll(row)].map(([, bytes = '']) => bytes);
  // The same two ports may connect other addresses, too.
  return found === undefined || others.length > 0 ? undefined : Number.parseInt(found, 16);
}

function inHex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

/** How what the system has taken of one request leaves it. */
export class Drain {
  #first: { readonly bytes: number; readonly atMs: number } | undefined;
  #acknowledgedBytes = 0;
  #leftBytes = 0;
  #movedAtMs = 0;

  /** @returns whether bytes have left since the last look */
  look(takenBytes: number, leftBytes: number, nowMs: number): boolean {
    const bytes = takenBytes - leftBytes;
    const hasMoved = this.#first !== undefined && bytes > this.#acknowledgedBytes;
    this.#first ??= { bytes, atMs: nowMs };
    this.#leftBytes = leftBytes;
    this.#acknowledgedBytes = bytes;
    if (hasMoved) this.#movedAtMs = nowMs;
    return hasMoved;
  }

  /** The time for what is left, at the speed so far; undefined while that is not known. */
  get leftMs(): number | undefined {
    if (this.#first === undefined) return undefined;
    const bytes = this.#acknowledgedBytes - this.#first.bytes;
    return bytes <= 0
      ? undefined
      : (this.#leftBytes * (this.#movedAtMs - this.#first.atMs)) / bytes;
  }
}
