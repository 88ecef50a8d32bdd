import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  createUploadWorker,
  enqueueUploads,
  type FleetJob,
  type FleetUploadOptions,
  type UploadWorker,
  type UploadWorkerOptions,
} from '../../src/bullmq.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { temporaryFolder, writePatterned } from '../support/files.js';
import { RedisServer } from '../support/redis.js';

/** A Redis, and for each test a queue, workers and a BITS server of its own. */
export class Fleet {
  redisServer!: RedisServer;
  redis!: Redis;
  queue!: Queue;
  server!: BitsServer;
  readonly #folder = temporaryFolder();
  readonly #workers: UploadWorker[] = [];
  #count = 0;

  /** For the suite that is being described. */
  static forSuite(): Fleet {
    const fleet = new Fleet();
    before(async () => {
      fleet.redisServer = await RedisServer.start();
      fleet.redis = fleet.redisServer.connect();
    });
    beforeEach(async () => {
      fleet.queue = new Queue(`q${++fleet.#count}`, { connection: fleet.redis });
      await fleet.serve();
    });
    afterEach(async () => {
      await Promise.all(fleet.#workers.splice(0).map((worker) => worker.close()));
      await fleet.queue.close();
      await fleet.server.close();
    });
    after(() => fleet.redisServer.close());
    return fleet;
  }

  /** Starts another BITS server in place of the one before. */
  async serve(options?: BitsServerOptions): Promise<void> {
    await this.server?.close();
    this.server = await createBitsServer(options);
  }

  /** Of a file that all workers of the suite see. */
  path(...names: string[]): string {
    return join(this.#folder(), ...names);
  }

  /** Writes a file. @returns its path */
  async file(name: string, bytes: number): Promise<string> {
    await writePatterned(this.path(name), bytes);
    return this.path(name);
  }

  /** An upload to the BITS server. */
  async enqueue(
    upload: Omit<FleetUploadOptions, 'url'> & Partial<FleetUploadOptions>,
  ): Promise<FleetJob> {
    const [job] = await enqueueUploads(this.queue, [{ url: this.server.url, ...upload }]);
    return job as FleetJob;
  }

  async arrived(name: string): Promise<Buffer> {
    return readFile(join(this.server.root, name));
  }

  async worker(options: Partial<UploadWorkerOptions> = {}): Promise<UploadWorker> {
    const worker = await createUploadWorker({
      connection: this.redisServer.url,
      queueName: this.queue.name,
      ...options,
    });
    this.#workers.push(worker);
    return worker;
  }

  /** The keys of the store that hold something. */
  async leftovers(): Promise<string[]> {
    const keys = await this.redis.keys(`{bits-upload:bull:${this.queue.name}}:*`);
    return keys
      .map((key) => key.slice(key.lastIndexOf('}:') + 2))
      .filter((key) => key !== 'turn:sweep');
  }
}

/** Resolves with what an event of a worker says of a job. */
export function told<E extends 'done' | 'failed' | 'returned' | 'started' | 'progress'>(
  worker: UploadWorker,
  event: E,
  about?: Pick<FleetJob, 'id'>,
): Promise<unknown[]> {
  return new Promise((resolve) => {
    const listener = (...args: unknown[]): void => {
      if (about !== undefined && (args[0] as FleetJob).id !== about.id) return;
      worker.off(event as never, listener as never);
      resolve(args);
    };
    worker.on(event as never, listener as never);
  });
}
