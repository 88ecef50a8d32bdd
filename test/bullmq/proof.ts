import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { RedisStore } from '../../src/bullmq/redis-store.js';
import { sweepStore } from '../../src/bullmq/sweep.js';
import { enqueueUploads, type FleetJob } from '../../src/bullmq.js';
import { type BitsServer, createBitsServer, type Fault } from '../../src/testing/index.js';
import { sha256OfFile, writePatterned } from '../support/files.js';
import { Random } from '../support/random.js';
import { RedisServer } from '../support/redis.js';
import { WorkerProcess } from './worker-process.js';

const MIB = 1024 ** 2;
export const FRAGMENT_BYTES = 256 * 1024;
const WORKERS = 3;
const CONCURRENCY = 4;
const KILL_EVERY_MS = 1000;

/** Of each worker, so that a fast machine does not finish before there were many kills. */
const BYTES_PER_SECOND = 2 * MIB;

/** Short, so that the jobs of a worker that was killed are found soon. */
const LOCK_MS = 2000;

export interface ProofPlan {
  readonly seed: number;
  readonly uploads: number;
  readonly maxBytes: number;
  readonly folder: string;
}

/** One upload when all is over. */
export interface ProvenUpload {
  readonly url: string;
  readonly bytes: number;
  readonly intact: boolean;
  readonly state: string;
  /** How often the file appeared on the server. */
  readonly arrivals: number;
  /** Body bytes of fragments that the server received. */
  readonly bytesReceived: number;
  /** How often a worker began or continued it. */
  readonly starts: number;
  /** How often the server misbehaved to it. */
  readonly faults: number;
}

export interface ProofReport {
  readonly uploads: readonly ProvenUpload[];
  readonly kills: number;
  /** How many uploads were over when Redis was killed. */
  readonly overAtRestart: number;
  readonly seconds: number;
  /** Keys of the store that still hold something. */
  readonly leftovers: readonly string[];
  readonly server: BitsServer;
}

/**
 * Uploads many files by worker processes of which one is killed every second, through a server that
 * misbehaves, while Redis is killed once and started again.
 */
export async function prove({ seed, uploads, maxBytes, folder }: ProofPlan): Promise<ProofReport> {
  const random = new Random(seed);
  const redisServer = await RedisServer.start('--appendonly', 'yes', '--appendfsync', 'always');
  const redis = redisServer.connect();
  const queue = new Queue(`proof-${seed}`, { connection: redis });
  // While Redis is down; BullMQ would print it.
  queue.on('error', () => {});
  const server = await createBitsServer({ faults: faultsOf(random, uploads) });
  const workers: WorkerProcess[] = [];
  try {
    const files = await writeFiles(folder, uploads, maxBytes, random);
    const jobs = await enqueueUploads(
      queue,
      files.map(({ path, name }) => ({ url: server.url + name, source: path })),
    );
    const begunAtMs = performance.now();
    const startWorker = (): WorkerProcess =>
      new WorkerProcess({
        connection: redisServer.url,
        queueName: queue.name,
        concurrency: CONCURRENCY,
        lockMs: LOCK_MS,
        bandwidth: { bytesPerSecond: BYTES_PER_SECOND },
        defaults: { fragmentBytes: FRAGMENT_BYTES, retry: { minDelayMs: 50, maxDelayMs: 1000 } },
      });
    for (let i = 0; i < WORKERS; i++) workers.push(startWorker());
    const restarting = (async () => {
      let over = 0;
      while (over < uploads / 2) {
        await delay(50);
        over = await queue.getCompletedCount();
      }
      await redisServer.kill();
      await redisServer.run();
      return over;
    })();
    let kills = 0;
    while (!(await isOver(queue))) {
      await delay(KILL_EVERY_MS);
      const victim = random.integer(0, WORKERS - 1);
      await workers[victim]?.kill();
      kills++;
      workers[victim] = startWorker();
    }
    const overAtRestart = await restarting;
    const seconds = (performance.now() - begunAtMs) / 1000;
    await Promise.all(workers.map((worker) => worker.kill()));
    // What a later worker does within a minute.
    const prefix = `bits-upload:bull:${queue.name}`;
    await sweepStore(new RedisStore(redis, { prefix, lockMs: LOCK_MS }), queue);
    const keys = await redis.keys(`{${prefix}}:*`);
    const proven: ProvenUpload[] = [];
    for (const [index, { path, name }] of files.entries()) {
      const job = (await queue.getJob(jobs[index]?.id ?? '')) as FleetJob;
      proven.push(await provenUpload(job, path, name, server));
    }
    const leftovers = keys.filter((key) => !/:(turn:sweep|lock:.*)$/.test(key));
    return { uploads: proven, kills, overAtRestart, seconds, leftovers, server };
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
    await queue.close();
    await redisServer.close();
    await server.close();
  }
}

async function isOver(queue: Queue): Promise<boolean> {
  const counts = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed');
  return Object.values(counts).every((count) => count === 0);
}

/** Most are small, as in life; the first is empty, and the second as large as any. */
async function writeFiles(
  folder: string,
  count: number,
  maxBytes: number,
  random: Random,
): Promise<{ path: string; name: string }[]> {
  await mkdir(folder, { recursive: true });
  const files: { path: string; name: string }[] = [];
  for (let index = 0; index < count; index++) {
    const size =
      index === 0 ? 0 : index === 1 ? maxBytes : Math.floor(maxBytes ** random.next() - 1);
    const name = `file-${index}.bin`;
    const path = join(folder, name);
    await writePatterned(path, size, index + 1);
    files.push({ path, name });
  }
  return files;
}

/** None of them loses what was acknowledged: that would be sent again by right. */
function faultsOf(random: Random, uploads: number): Fault[] {
  const actions = [
    'reset-before',
    'reset-mid',
    'reset-after-commit',
    'answer-twice',
    { status: 503 },
    { status: 500, afterCommit: true },
    { delayMs: 500 },
  ] as const;
  const faults: Fault[] = [];
  const add = (on: Fault['on'], count: number, among: number): void => {
    for (let i = 0; i < count; i++) {
      faults.push({ on, nth: random.integer(1, among), do: random.pick(actions) });
    }
  };
  add('create-session', uploads / 10, uploads);
  add('fragment', uploads / 4, uploads * 4);
  add('ping', uploads / 20, uploads / 4);
  add('close-session', uploads / 10, uploads);
  return faults;
}

async function provenUpload(
  job: FleetJob,
  path: string,
  name: string,
  server: BitsServer,
): Promise<ProvenUpload> {
  const requests = server.log.filter(({ target }) => target === `/${name}`);
  const arrived = await sha256OfFile(join(server.root, name)).catch(() => 'nothing');
  return {
    url: server.url + name,
    bytes: (await stat(path)).size,
    intact: arrived === (await sha256OfFile(path)),
    state: await job.getState(),
    arrivals: server.uploads.filter(({ url }) => url === server.url + name).length,
    bytesReceived: requests.reduce(
      (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
      0,
    ),
    starts: job.attemptsStarted,
    faults: requests.filter(({ fault }) => fault !== undefined).length,
  };
}

/** In MiB, for people. */
export function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
