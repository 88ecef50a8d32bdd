import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import {
  createUploadWorker,
  enqueueUploads,
  openUploadQueue,
  type UploadQueueConnection,
} from '../../src/bullmq.js';
import { createBitsServer } from '../../src/testing/index.js';
import { describeWith } from '../interop/support/installed.js';
import { freePort } from '../interop/support/ports.js';
import { failureOf } from '../store/records.js';
import { temporaryFolder, writePatterned } from '../support/files.js';
import { REDIS, RedisServer } from '../support/redis.js';
import { told } from './fleet.js';

const SLOTS = 16_384;

describeWith('a fleet on a Redis Cluster of two nodes', [REDIS], () => {
  const folder = temporaryFolder();
  const nodes: RedisServer[] = [];

  before(async () => {
    for (let i = 0; i < 2; i++) {
      const busPort = String(await freePort());
      nodes.push(await RedisServer.start('--cluster-enabled', 'yes', '--cluster-port', busPort));
    }
    const [first, second] = nodes.map((node) => node.connect());
    await first?.cluster('ADDSLOTSRANGE', 0, SLOTS / 2 - 1);
    await second?.cluster('ADDSLOTSRANGE', SLOTS / 2, SLOTS - 1);
    const busOf = String(await second?.config('GET', 'cluster-port')).split(',')[1] ?? '';
    await first?.call('CLUSTER', 'MEET', '127.0.0.1', String(nodes[1]?.port), busOf);
    for (const node of [first, second]) {
      while (!String(await node?.cluster('INFO')).includes('cluster_state:ok')) await delay(50);
    }
  });
  after(async () => {
    await Promise.all(nodes.map((node) => node.close()));
  });

  for (const [what, names] of Object.entries({
    'name is in braces': { queueName: '{uploads}' },
    'prefix is in braces': { prefix: '{fleet}' },
  })) {
    it(`uploads with a queue whose ${what}, on the node that has it`, async () => {
      const server = await createBitsServer();
      const source = join(folder(), 'a.bin');
      await writePatterned(source, 1000);
      const outcomes = await Promise.all(
        nodes.map(({ url }) => opened({ connection: url, ...names })),
      );
      const refusal = outcomes.find((outcome) => typeof outcome === 'string');
      const [, place] =
        /another node has the queue: connect to ([\d.:]+)\.$/.exec(refusal ?? '') ?? [];
      const connection = `redis://${place}`;
      const { queue, close } = await openUploadQueue({ connection, ...names });
      const worker = await createUploadWorker({ connection, ...names });
      const done = told(worker, 'done');
      await enqueueUploads(queue, [{ url: server.url, source }]);
      await done;
      expect(server.uploads).to.have.lengthOf(1);
      await worker.close();
      await close();
      await server.close();
    });
  }

  it('says that a queue without braces cannot be there', async () => {
    const connection = nodes[0]?.url ?? '';
    for (const open of [openUploadQueue, createUploadWorker]) {
      const error = await failureOf(open({ connection }));
      expect(error).to.include({ code: 'BITS_ERR_STORE' });
      expect(error.message).to.match(/cluster.*must be in braces, such as \{uploads\}/);
    }
  });

  /** Why a queue could not be opened, if it could not. */
  async function opened(options: UploadQueueConnection): Promise<string | undefined> {
    try {
      await (await openUploadQueue(options)).close();
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }
});
