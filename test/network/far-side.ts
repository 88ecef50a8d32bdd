/** The server's side of a scenario: a BITS server, and what may stand before it or beside it. */
import { createServer } from 'node:http';
import net from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { createBitsServer, type Fault } from '../../src/testing/index.js';
import { Random } from '../support/random.js';
import { BITS_PORT, PUT_PORT } from './addresses.js';

export interface FarSideOptions {
  readonly root: string;
  /** Makes it an upload-reply server, whose application works for so long. */
  readonly applicationMs?: number;
  /** Each answer is followed by a reset of its connection, after a time between the two. */
  readonly resetAfterMs?: readonly [least: number, most: number];
  /** Connections are reset after so many bytes of the client, a number between the two. */
  readonly cutAfterBytes?: readonly [least: number, most: number];
  readonly seed: number;
}

export type FarSideEvent = { readonly event: 'listening' | 'application-done' };

const tell = (event: FarSideEvent) => process.stdout.write(`${JSON.stringify(event)}\n`);

const { root, applicationMs, resetAfterMs, cutAfterBytes, seed } = JSON.parse(
  process.argv[2] ?? '',
) as FarSideOptions;
const random = new Random(seed);

const server = await createBitsServer({
  root,
  host: '0.0.0.0',
  port: cutAfterBytes === undefined ? BITS_PORT : 0,
  allowedHosts: 'any',
  faults: resetAfterMs === undefined ? [] : resets(resetAfterMs),
  ...(applicationMs !== undefined && {
    reply: async () => {
      await wait(applicationMs);
      tell({ event: 'application-done' });
      return 'done';
    },
  }),
});
if (cutAfterBytes !== undefined) await relay(server.port, cutAfterBytes);
await new Promise<void>((resolve) => {
  const sink = createServer((request, response) => {
    request.resume().on('end', () => response.end());
  });
  sink.listen(PUT_PORT, '0.0.0.0', resolve);
});
tell({ event: 'listening' });

function resets([least, most]: readonly [number, number]): Fault[] {
  return Array.from({ length: 2000 }, (_, index) => ({
    on: 'any',
    nth: index + 1,
    do: { resetAfterMs: random.integer(least, most) },
  }));
}

/** Stands before the server, and resets connections that have carried so much. */
async function relay(serverPort: number, [least, most]: readonly [number, number]): Promise<void> {
  const relaying = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1');
    const cutAt = random.integer(least, most);
    let bytes = 0;
    client.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes < cutAt) return;
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    });
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => relaying.listen(BITS_PORT, '0.0.0.0', resolve));
}
