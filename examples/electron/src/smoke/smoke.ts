import { setTimeout as delay } from 'node:timers/promises';
import { isBitsError, type Transport, UploadJob, type UploadOptions } from 'bits-upload';
import { type BitsServer, createBitsServer, type Fault } from 'bits-upload/testing';

/** One upload against a server of its own. */
interface SmokeCase {
  readonly name: string;
  readonly bytes: number;
  readonly faults?: (server: BitsServer) => readonly Fault[];
  readonly reply?: Uint8Array;
  readonly options?: Partial<UploadOptions>;
  /** In place of waiting for the upload. */
  readonly act?: (job: UploadJob, server: BitsServer) => Promise<unknown>;
  /** False: no file is to arrive. @default true */
  readonly arrives?: boolean;
}

const MB = 1024 * 1024;

const CASES: readonly SmokeCase[] = [
  { name: 'empty file', bytes: 0 },
  { name: 'one byte', bytes: 1 },
  { name: '8 MB', bytes: 8 * MB },
  { name: 'many small fragments', bytes: 200_000, options: { fragmentBytes: 5 * 1024 } },
  {
    name: 'reply of 2 MB',
    bytes: 1000,
    reply: new Uint8Array(2 * MB),
    options: { reply: { maxBytes: 4 * MB } },
  },
  {
    name: 'redirect',
    bytes: 50_000,
    faults: ({ url }) => [{ on: 'any', times: 2, do: { redirect: `${url}smoke.bin` } }],
  },
  {
    name: 'reset after a fragment',
    bytes: 200_000,
    options: { fragmentBytes: 50_000 },
    faults: () => [{ on: 'fragment', nth: 2, do: 'reset-after-commit' }],
  },
  {
    name: 'reset after the close',
    bytes: 50_000,
    faults: () => [{ on: 'close-session', do: 'reset-after-commit' }],
  },
  {
    name: 'session lost',
    bytes: 200_000,
    options: { fragmentBytes: 50_000 },
    faults: () => [{ on: 'fragment', nth: 3, do: 'session-gone' }],
  },
  {
    name: 'error in mid-body',
    bytes: 3 * MB,
    options: { fragmentBytes: 3 * MB },
    faults: () => [{ on: 'fragment', do: 'reset-mid' }],
  },
  {
    name: 'suspend and resume',
    bytes: 50_000,
    faults: () => [{ on: 'fragment', do: 'hang' }],
    act: async (job, server) => {
      const result = job.start();
      await server.waitForRequest('fragment', 1);
      await job.suspend();
      await job.resume();
      await result;
    },
  },
  {
    name: 'cancel',
    bytes: 50_000,
    arrives: false,
    faults: () => [{ on: 'fragment', do: 'hang' }],
    act: async (job, server) => {
      const result = job.start().catch((error: unknown) => {
        if (!isBitsError(error, 'BITS_ERR_ABORTED')) throw error;
      });
      await server.waitForRequest('fragment', 1);
      await job.cancel();
      await result;
    },
  },
];

/** Longer than any of them takes, on a slow machine. */
const LIMIT_MS = 60_000;

export interface SmokeResult {
  readonly upload: string;
  readonly transport: string;
  readonly result: string;
  readonly ms: number;
}

/** Makes the twelve uploads over each transport, one after the other. */
export async function runSmoke(
  transports: Readonly<Record<string, Transport>>,
  onResult: (result: SmokeResult) => void,
): Promise<void> {
  for (const [name, transport] of Object.entries(transports)) {
    const hidesRedirects = transport.limitations.some(
      ({ code }) => code === 'redirect-target-hidden',
    );
    for (const one of CASES) {
      if (one.name === 'redirect' && hidesRedirects) continue;
      const startedAt = performance.now();
      const result = await resultOf(one, transport);
      const ms = Math.round(performance.now() - startedAt);
      onResult({ upload: one.name, transport: name, result, ms });
    }
  }
}

async function resultOf(one: SmokeCase, transport: Transport): Promise<string> {
  const { reply } = one;
  const server = await createBitsServer(reply ? { reply: () => reply } : {});
  const controller = new AbortController();
  try {
    for (const fault of one.faults?.(server) ?? []) server.addFault(fault);
    const job = new UploadJob({
      url: `${server.url}smoke.bin`,
      source: new Uint8Array(one.bytes).fill(7),
      retry: { minDelayMs: 10 },
      transport,
      signal: controller.signal,
      ...one.options,
    });
    const work = one.act ? one.act(job, server) : job.start();
    await Promise.race([
      work,
      delay(LIMIT_MS, undefined, { ref: false }).then(() => {
        throw new Error(`not done after ${LIMIT_MS / 1000} s`);
      }),
    ]);
    const [file] = server.uploads;
    if (one.arrives === false) return file === undefined ? 'ok' : 'a file arrived';
    return file?.bytes === one.bytes ? 'ok' : 'the file did not arrive';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    controller.abort();
    await server.close();
  }
}
