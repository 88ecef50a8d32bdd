import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Queue } from 'bullmq';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { enqueueUploads } from '../../src/bullmq.js';
import { describeWith } from '../interop/support/installed.js';
import { REDIS } from '../support/redis.js';
import { Fleet } from './fleet.js';

describeWith('enqueueing uploads', [REDIS], () => {
  const fleet = Fleet.forSuite();

  it('adds each once, also when the connection breaks before Redis answers', async () => {
    let isToBreak = false;
    let breaks = 0;
    const proxy = createServer((client) => {
      const redis = connect(fleet.server.port, '127.0.0.1');
      let isLast = false;
      client.on('data', (data) => {
        isLast ||= isToBreak && data.includes('a.bin');
        redis.write(data);
      });
      redis.on('data', (data) => {
        if (!isLast) return client.write(data);
        isToBreak = false;
        breaks++;
        return client.destroy();
      });
      for (const socket of [client, redis]) socket.on('error', () => {});
      client.on('close', () => redis.destroy());
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    const connection = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null });
    connection.on('error', () => {});
    const queue = new Queue(fleet.queue.name, { connection });
    queue.on('error', () => {});
    await queue.waitUntilReady();
    after(async () => {
      await queue.close();
      connection.disconnect();
      proxy.close();
    });
    isToBreak = true;
    const jobs = await enqueueUploads(
      queue,
      ['a.bin', 'b.bin'].map((name) => ({ url: 'http://bits.example/in/', source: `/${name}` })),
    );
    expect(breaks).to.equal(1);
    const added = await fleet.queue.getJobs(['prioritized']);
    expect(added.map(({ id }) => id)).to.have.members(jobs.map(({ id }) => id));
  });
});
