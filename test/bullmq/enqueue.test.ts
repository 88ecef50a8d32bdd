import { Queue } from 'bullmq';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { enqueueUploads } from '../../src/bullmq.js';
import { describeWith } from '../interop/support/installed.js';
import { REDIS } from '../support/redis.js';
import { Relay } from '../support/relay.js';
import { Fleet } from './fleet.js';

describeWith('enqueueing uploads', [REDIS], () => {
  const fleet = Fleet.forSuite();

  for (const [when, answeredBytes] of [
    ['before Redis answers', 0],
    ['within the answer of Redis', 50],
  ] as const) {
    it(`adds each once, also when the connection breaks ${when}`, async () => {
      const relay = await Relay.to(fleet.redisServer.port);
      const connection = new Redis(relay.port, '127.0.0.1', { maxRetriesPerRequest: null });
      connection.on('error', () => {});
      const queue = new Queue(fleet.queue.name, { connection });
      queue.on('error', () => {});
      await queue.waitUntilReady();
      after(async () => {
        await queue.close();
        connection.disconnect();
        relay.close();
      });
      const broken = relay.breakAfter('a.bin', { answeredBytes });
      const jobs = await enqueueUploads(
        queue,
        ['a.bin', 'b.bin'].map((name) => ({ url: 'http://bits.example/in/', source: `/${name}` })),
      );
      await broken;
      const added = await fleet.queue.getJobs(['prioritized']);
      expect(added.map(({ id }) => id)).to.have.members(jobs.map(({ id }) => id));
    });
  }
});
