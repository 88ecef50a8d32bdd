import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  cancelUpload,
  enqueueUploads,
  fleetStatus,
  type OpenUploadQueue,
  openUploadQueue,
  retryUpload,
  type UploadWorker,
  uploadState,
} from '../../src/bullmq.js';
import type { UploadWarning } from '../../src/index.js';
import { describeWith } from '../interop/support/installed.js';
import { failureOf } from '../store/records.js';
import { closingAfterEach } from '../support/closing.js';
import { writePatterned } from '../support/files.js';
import { REDIS, RedisServer } from '../support/redis.js';
import { Relay } from '../support/relay.js';
import { Fleet, told } from './fleet.js';

const KIB = 1024;
const URL = 'http://bits.example/in/';

describeWith('a fleet that loses Redis', [REDIS], () => {
  const fleet = Fleet.forSuite();
  const keep = closingAfterEach();
  const startRedis = async (...args: string[]) => keep(await RedisServer.start(...args));
  const relayTo = async (redis: RedisServer) => keep(await Relay.to(redis.port));
  const openQueue = async (url: string) =>
    keep(await openUploadQueue({ connection: url, queueName: fleet.queue.name }));

  const says = (worker: UploadWorker, code: string): Promise<UploadWarning> =>
    new Promise((resolve) => {
      worker.on('warning', (warning) => {
        if (warning.code === code) resolve(warning);
      });
    });

  const patience = { timeoutMs: 300 };
  const calls: Record<string, (queue: OpenUploadQueue['queue']) => Promise<unknown>> = {
    enqueueUploads: (queue) => enqueueUploads(queue, [{ url: URL, source: '/a' }], patience),
    fleetStatus: (queue) => fleetStatus(queue, patience),
    cancelUpload: (queue) => cancelUpload(queue, 'any', patience),
    retryUpload: (queue) => retryUpload(queue, 'any', patience),
    uploadState: (queue) => uploadState(queue, 'any', patience),
  };
  const losses: Record<string, [(redis: RedisServer) => unknown, RegExp]> = {
    'was killed': [(redis) => redis.kill(), /has not answered for 0\.3 s. Check that it runs/],
    'answers nothing': [(redis) => redis.freeze(), /has not answered for 0\.3 s. Check that it/],
  };
  for (const [what, [lose, message]] of Object.entries(losses)) {
    for (const [name, call] of Object.entries(calls)) {
      it(`says so in a bounded time when Redis ${what}: ${name}`, async () => {
        const redis = await startRedis();
        const { queue, close } = await openQueue(redis.url);
        await queue.waitUntilReady();
        await lose(redis);
        const error = await failureOf(call(queue));
        expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
        expect(error.message).to.match(message);
        await close();
      });
    }
  }

  it('waits for a Redis that comes back in time, and adds each upload once', async () => {
    const redis = await startRedis('--appendonly', 'yes', '--appendfsync', 'always');
    const { queue } = await openQueue(redis.url);
    await queue.waitUntilReady();
    await redis.kill();
    const adding = enqueueUploads(queue, [{ url: URL, source: '/a' }]);
    await redis.run();
    const [job] = await adding;
    expect(job?.id).to.not.equal(undefined);
    expect(await queue.getJobCountByTypes('prioritized')).to.equal(1);
  });

  it('says which uploads are in doubt, unless each has an id of its own', async () => {
    const redis = await startRedis();
    const { queue } = await openQueue(redis.url);
    await queue.waitUntilReady();
    redis.freeze();
    const upload = { url: URL, source: '/a' };
    const error = await failureOf(enqueueUploads(queue, [upload, upload], patience));
    expect(error.message).to.match(/first 0 of 2 uploads are in the queue, and the next 2 may be/);
    const named = [{ ...upload, jobOptions: { jobId: 'one' } }];
    expect((await failureOf(enqueueUploads(queue, named, patience))).message).to.not.match(
      /may be/,
    );
  });

  it('says that Redis is a replica, and goes on when it is the primary again', async () => {
    const redis = await startRedis();
    const admin = redis.connect();
    const { queue } = await openQueue(redis.url);
    await admin.replicaof('127.0.0.1', '1');
    const upload = { url: URL, source: '/a', jobOptions: { jobId: 'one' } };
    // Redis answers, which may take a while on a busy machine.
    const error = await failureOf(enqueueUploads(queue, [upload], { timeoutMs: 1500 }));
    expect(error.message).to.match(/it is a replica.*connect to the primary/);
    const refusals = async (): Promise<number> =>
      Number(/errorstat_READONLY:count=(\d+)/.exec(await admin.info('errorstats'))?.[1]);
    const before = await refusals();
    const again = enqueueUploads(queue, [upload]);
    while ((await refusals()) === before);
    await admin.replicaof('NO', 'ONE');
    expect(await again).to.have.lengthOf(1);
    expect(await queue.getJobCountByTypes('prioritized')).to.equal(1);
  });

  describe('with workers', () => {
    const upload = async (name: string): Promise<{ url: string; source: string }> => {
      const source = fleet.path(name);
      await writePatterned(source, 300 * KIB);
      return { url: fleet.server.url, source };
    };
    const arrived = async (name: string): Promise<boolean> =>
      (await readFile(join(fleet.server.root, name))).equals(await readFile(fleet.path(name)));

    it('says that it waits for Redis, and does the jobs when it is back', async () => {
      const redis = await startRedis('--appendonly', 'yes', '--appendfsync', 'always');
      const worker = await fleet.worker({ connection: redis.url });
      const { queue } = await openQueue(redis.url);
      fleet.server.addFault({ on: 'fragment', nth: 2, do: { delayMs: 1000 } });
      const done = told(worker, 'done');
      await enqueueUploads(queue, [{ ...(await upload('a.bin')), fragmentBytes: 64 * KIB }]);
      await fleet.server.waitForRequest('fragment', 2);
      const lost = says(worker, 'redis-lost');
      const back = says(worker, 'redis-back');
      await redis.kill();
      expect((await lost).message).to.match(/cannot be reached.*The worker waits/);
      await redis.run();
      expect((await back).message).to.match(/answers again/);
      await done;
      const next = told(worker, 'done');
      await enqueueUploads(queue, [await upload('b.bin')]);
      await next;
      expect([await arrived('a.bin'), await arrived('b.bin')]).to.deep.equal([true, true]);
      expect(fleet.server.uploads).to.have.lengthOf(2);
      fleet.server.assertNoViolations();
    });

    it('follows a failover, after which its connection leads to a replica', async () => {
      const former = await startRedis('--repl-diskless-sync-delay', '0');
      const next = await startRedis('--replicaof', `127.0.0.1 ${former.port}`);
      const relay = await relayTo(former);
      const worker = await fleet.worker({ connection: relay.url });
      const lost = says(worker, 'redis-lost');
      const admin = next.connect();
      while (!(await admin.info('replication')).includes('master_link_status:up'));
      await admin.replicaof('NO', 'ONE');
      relay.leadTo(next.port);
      await former.connect().replicaof('127.0.0.1', String(next.port));
      expect((await lost).message).to.match(/it is a replica/);
      const done = told(worker, 'done');
      const { queue } = await openQueue(relay.url);
      await enqueueUploads(queue, [await upload('after.bin')]);
      await done;
      expect(await arrived('after.bin')).to.equal(true);
      expect(fleet.server.uploads).to.have.lengthOf(1);
    });

    it('notices a network that drops its connections in silence, and connects again', async () => {
      const redis = await startRedis();
      const relay = await relayTo(redis);
      const worker = await fleet.worker({ connection: relay.url });
      const { queue } = await openQueue(redis.url);
      fleet.server.addFault({ on: 'fragment', nth: 1, do: { delayMs: 1000 } });
      await enqueueUploads(queue, [await upload('first.bin')]);
      await fleet.server.waitForRequest('fragment', 1);
      const lost = says(worker, 'redis-lost');
      relay.silence();
      const done = told(worker, 'done');
      await lost;
      await done;
      const next = told(worker, 'done');
      await enqueueUploads(queue, [await upload('second.bin')]);
      await next;
      expect(fleet.server.uploads).to.have.lengthOf(2);
      fleet.server.assertNoViolations();
    });
  });
});
