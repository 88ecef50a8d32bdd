import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  createUploadWorker,
  type FleetJob,
  type UploadWorker,
  type UploadWorkerOptions,
} from '../../src/bullmq.js';
import { RedisServer } from '../support/redis.js';

/** A Redis, with a queue of its own and workers for each test. */
export class Fleet {
  server!: RedisServer;
  redis!: Redis;
  queue!: Queue;
  readonly #workers: UploadWorker[] = [];
  #count = 0;

  /** For the suite that is being described. */
  static forSuite(): Fleet {
    const fleet = new Fleet();
    before(async () => {
      fleet.server = await RedisServer.start();
      fleet.redis = fleet.server.connect();
    });
    beforeEach(() => {
      fleet.queue = new Queue(`q${++fleet.#count}`, { connection: fleet.redis });
    });
    afterEach(async () => {
      await Promise.all(fleet.#workers.splice(0).map((worker) => worker.close()));
      await fleet.queue.close();
    });
    after(() => fleet.server.stop());
    return fleet;
  }

  async worker(options: Partial<UploadWorkerOptions> = {}): Promise<UploadWorker> {
    const worker = await createUploadWorker({
      connection: this.server.url,
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
