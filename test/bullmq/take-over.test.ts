import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { enqueueUploads, type UploadWorkerOptions } from '../../src/bullmq.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { describeWith } from '../interop/support/installed.js';
import { temporaryFolder, writePatterned } from '../support/files.js';
import { REDIS } from '../support/redis.js';
import { Fleet, told } from './fleet.js';
import { WorkerProcess } from './worker-process.js';

const KIB = 1024;
const FRAGMENT_BYTES = 64 * KIB;

/** Short, so that a worker that died is found soon. */
const LOCK_MS = 1000;

describeWith('workers that take over from each other', [REDIS], () => {
  const fleet = Fleet.forSuite();
  const folder = temporaryFolder();
  let server: BitsServer;
  let processes: WorkerProcess[];

  beforeEach(async () => {
    processes = [];
    server = await createBitsServer();
  });
  afterEach(async () => {
    await Promise.all(processes.map((each) => each.kill()));
    await server.close();
  });

  function start(name: string): WorkerProcess {
    const options: UploadWorkerOptions = {
      connection: fleet.server.url,
      queueName: fleet.queue.name,
      name,
      lockMs: LOCK_MS,
      concurrency: 1,
      maxCrashes: 2,
      defaults: { userAgent: name, fragmentBytes: FRAGMENT_BYTES },
    };
    const child = new WorkerProcess(options);
    processes.push(child);
    return child;
  }

  const requestsOf = (name: string, path = ''): number =>
    server.log.filter(
      ({ headers, target }) => headers['user-agent'] === name && target.includes(path),
    ).length;

  it('resume an upload whose worker was killed, and send at most a fragment again', async () => {
    const size = 20 * FRAGMENT_BYTES;
    const content = await writePatterned(join(folder(), 'killed.bin'), size);
    server.addFault({ on: 'fragment', times: Infinity, do: { delayMs: 50 } });
    const first = start('first');
    await enqueueUploads(fleet.queue, [{ url: server.url, source: join(folder(), 'killed.bin') }]);
    await server.waitForRequest('fragment', 5);
    await first.kill();
    const second = await fleet.worker({ lockMs: LOCK_MS });
    const [, result] = await told(second, 'done');
    expect(result).to.include({ resumed: true });
    const sent = server.log.reduce(
      (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
      0,
    );
    expect(sent).to.be.at.most(size + FRAGMENT_BYTES);
    expect(await readFile(join(server.root, 'killed.bin'))).to.deep.equal(content);
    await second.close();
    expect(await fleet.leftovers()).to.deep.equal([]);
  });

  for (const size of [0, 1000]) {
    it(`upload a file of ${size} bytes once, when a worker is killed while the server closes it`, async () => {
      await writePatterned(join(folder(), 'once.bin'), size);
      server.addFault({ on: 'close-session', do: 'hang-after-commit' });
      const first = start('first');
      await enqueueUploads(fleet.queue, [{ url: server.url, source: join(folder(), 'once.bin') }]);
      while (server.uploads.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await first.kill();
      const second = await fleet.worker({ lockMs: LOCK_MS });
      const [, result] = await told(second, 'done');
      expect(result).to.include({ closed: 'presumed' });
      expect(server.uploads).to.have.lengthOf(1);
      await second.close();
      expect(await fleet.leftovers()).to.deep.equal([]);
    });
  }

  it('give up a job that kills each of them, and not the one beside it', async () => {
    await writePatterned(join(folder(), 'beside.bin'), 10);
    const [poison, beside] = await enqueueUploads(fleet.queue, [
      { url: server.url, source: 'crash://whoever/opens/it' },
      { url: server.url, source: join(folder(), 'beside.bin') },
    ]);
    for (let started = 0; (await poison?.getState()) !== 'failed'; started++) {
      expect(started, 'deaths').to.be.at.most(3);
      const victim = start(`victim-${started}`);
      await Promise.race([victim.ended, victim.said(({ type }) => type === 'failed')]);
    }
    expect((await fleet.queue.getJob(poison?.id ?? ''))?.failedReason).to.match(
      /died 3 times in a row/,
    );
    while ((await beside?.getState()) !== 'completed') await new Promise((r) => setImmediate(r));
  });

  it('send nothing more, and write nothing, when they wake after another one has the job', async () => {
    const size = 20 * FRAGMENT_BYTES;
    const content = await writePatterned(join(folder(), 'paused.bin'), size);
    await writePatterned(join(folder(), 'next.bin'), 10);
    server.addFault({ on: 'fragment', times: Infinity, do: { delayMs: 100 } });
    const sleeper = start('sleeper');
    await enqueueUploads(fleet.queue, [{ url: server.url, source: join(folder(), 'paused.bin') }]);
    await server.waitForRequest('fragment', 5);
    sleeper.signal('SIGSTOP');
    // Its answer comes while it sleeps.
    const other = await fleet.worker({ lockMs: LOCK_MS, defaults: { userAgent: 'other' } });
    while (requestsOf('other') < 3) await new Promise((resolve) => setImmediate(resolve));
    const before = requestsOf('sleeper');
    const done = told(other, 'done');
    sleeper.signal('SIGCONT');
    await done;
    await other.close();
    expect(await readFile(join(server.root, 'paused.bin'))).to.deep.equal(content);
    // It is in order, and does the next job.
    await enqueueUploads(fleet.queue, [{ url: server.url, source: join(folder(), 'next.bin') }]);
    await sleeper.said(({ type }) => type === 'done');
    expect(requestsOf('sleeper', 'paused.bin')).to.equal(before);
    expect(server.uploads).to.have.lengthOf(2);
    server.assertNoViolations();
  });
});
