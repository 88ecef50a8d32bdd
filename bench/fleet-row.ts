import { Queue } from 'bullmq';
import { enqueueUploads } from '../src/bullmq.js';
import { WorkerProcess } from '../test/bullmq/worker-process.js';
import { locate } from '../test/interop/support/installed.js';
import { RedisServer } from '../test/support/redis.js';
import type { Sample } from './harness.js';
import { atLeast, type Row, ratio, wallMs } from './row.js';

/** Low, so that the late answers are the limit, and not the two processors of a small machine. */
const CONCURRENCY = 2;

/** A worker's first uploads compile its code and open its connections. */
const WARM_UPS = 10;

interface FleetRun {
  readonly url: string;
  readonly file: string;
  readonly fileBytes: number;
  readonly uploads: number;
}

/**
 * Uploads per second against the number of workers.
 * @returns nothing where no redis-server is installed
 */
export function fleetRow(run: FleetRun, lateMs: number): Row[] {
  if (locate('redis-server') === undefined) return [];
  const { uploads, fileBytes } = run;
  const counts = [1, 2, 4];
  const nameOf = (workers: number): string => `${workers} worker${workers === 1 ? '' : 's'}`;
  return [
    {
      id: 'fleet',
      title: `${uploads} files by a fleet, ${CONCURRENCY} at a time each, answers ${lateMs} ms late`,
      shows: 'time',
      clients: counts.map((workers) => ({
        name: nameOf(workers),
        bytes: (uploads + workers * WARM_UPS) * fileBytes,
        run: () => runFleet(run, workers),
      })),
      goals: counts
        .slice(1)
        .map((workers) =>
          atLeast(
            0.8,
            `uploads per second of ${nameOf(workers)}, over ${workers} times those of one`,
            (medians) =>
              ratio(wallMs(medians, nameOf(1)), wallMs(medians, nameOf(workers)) * workers),
          ),
        ),
    },
  ];
}

async function runFleet({ url, file, uploads }: FleetRun, count: number): Promise<Sample> {
  const server = await RedisServer.start();
  const queue = new Queue('bench', { connection: server.connect() });
  let done = 0;
  let onDone = (): void => {};
  const workers = Array.from(
    { length: count },
    (_, index) =>
      new WorkerProcess(
        { connection: server.url, queueName: 'bench', name: `w${index}`, concurrency: CONCURRENCY },
        ({ type }) => {
          if (type !== 'done') return;
          done++;
          onDone();
        },
      ),
  );
  const upload = async (wanted: number): Promise<number> => {
    done = 0;
    const all = new Promise<void>((resolve) => {
      onDone = () => {
        if (done === wanted) resolve();
      };
    });
    await queue.pause();
    const each = (_: unknown, index: number) => ({ url: `${url}-${index}`, source: file });
    await enqueueUploads(queue, Array.from({ length: wanted }, each));
    const startMs = performance.now();
    await queue.resume();
    await all;
    return performance.now() - startMs;
  };
  try {
    await Promise.all(workers.map((worker) => worker.said(({ type }) => type === 'ready')));
    await upload(count * WARM_UPS);
    return { wallMs: await upload(uploads) };
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
    await queue.close();
    await server.close();
  }
}
