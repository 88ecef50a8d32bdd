import { expect } from 'chai';
import { enqueueUploads, type UploadWorkerOptions } from '../../src/bullmq.js';
import { describeWith } from '../interop/support/installed.js';
import { writePatterned } from '../support/files.js';
import { REDIS } from '../support/redis.js';
import { until } from '../support/until.js';
import { Fleet, told } from './fleet.js';
import { WorkerProcess } from './worker-process.js';

const KIB = 1024;
const FRAGMENT_BYTES = 64 * KIB;

/** Short, so that a worker that died is found soon. */
const LOCK_MS = 1000;

describeWith('workers that take over from each other', [REDIS], () => {
  const fleet = Fleet.forSuite();
  let processes: WorkerProcess[];

  beforeEach(() => {
    processes = [];
  });
  afterEach(() => Promise.all(processes.map((each) => each.kill())));

  function start(name: string): WorkerProcess {
    const options: UploadWorkerOptions = {
      connection: fleet.redisServer.url,
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
    fleet.server.log.filter(
      ({ headers, target }) => headers['user-agent'] === name && target.includes(path),
    ).length;

  it('resume an upload whose worker was killed, and send at most a fragment again', async () => {
    const size = 20 * FRAGMENT_BYTES;
    const content = await writePatterned(fleet.path('killed.bin'), size);
    fleet.server.addFault({ on: 'fragment', times: Infinity, do: { delayMs: 50 } });
    const first = start('first');
    await fleet.enqueue({ source: fleet.path('killed.bin') });
    await fleet.server.waitForRequest('fragment', 5);
    await first.kill();
    const second = await fleet.worker({ lockMs: LOCK_MS });
    const [, result] = await told(second, 'done');
    expect(result).to.include({ resumed: true });
    const sent = fleet.server.log.reduce(
      (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
      0,
    );
    expect(sent).to.be.at.most(size + FRAGMENT_BYTES);
    expect(await fleet.arrived('killed.bin')).to.deep.equal(content);
    await second.close();
    expect(await fleet.leftovers()).to.deep.equal([]);
  });

  for (const size of [0, 1000]) {
    it(`upload a file of ${size} bytes once, when a worker is killed while the server closes it`, async () => {
      const source = await fleet.file('once.bin', size);
      fleet.server.addFault({ on: 'close-session', do: 'hang-after-commit' });
      const first = start('first');
      await fleet.enqueue({ source });
      await until(() => fleet.server.uploads.length > 0);
      await first.kill();
      const second = await fleet.worker({ lockMs: LOCK_MS });
      const [, result] = await told(second, 'done');
      expect(result).to.include({ closed: 'presumed' });
      expect(fleet.server.uploads).to.have.lengthOf(1);
      await second.close();
      expect(await fleet.leftovers()).to.deep.equal([]);
    });
  }

  it('give up a job that kills each of them, and not the one beside it', async () => {
    const source = await fleet.file('beside.bin', 10);
    const [poison, beside] = await enqueueUploads(fleet.queue, [
      { url: fleet.server.url, source: 'crash://whoever/opens/it' },
      { url: fleet.server.url, source },
    ]);
    for (let started = 0; (await poison?.getState()) !== 'failed'; started++) {
      expect(started, 'deaths').to.be.at.most(3);
      const victim = start(`victim-${started}`);
      await Promise.race([victim.ended, victim.said(({ type }) => type === 'failed')]);
    }
    expect((await fleet.queue.getJob(poison?.id ?? ''))?.failedReason).to.match(
      /died 3 times in a row/,
    );
    await until(async () => (await beside?.getState()) === 'completed');
  });

  it('send nothing more, and write nothing, when they wake after another one has the job', async () => {
    const size = 20 * FRAGMENT_BYTES;
    const content = await writePatterned(fleet.path('paused.bin'), size);
    const source = await fleet.file('next.bin', 10);
    fleet.server.addFault({ on: 'fragment', times: Infinity, do: { delayMs: 100 } });
    const sleeper = start('sleeper');
    await fleet.enqueue({ source: fleet.path('paused.bin') });
    await fleet.server.waitForRequest('fragment', 5);
    sleeper.signal('SIGSTOP');
    // Its answer comes while it sleeps.
    const other = await fleet.worker({ lockMs: LOCK_MS, defaults: { userAgent: 'other' } });
    await until(() => requestsOf('other') >= 3);
    const before = requestsOf('sleeper');
    const done = told(other, 'done');
    sleeper.signal('SIGCONT');
    await done;
    await other.close();
    expect(await fleet.arrived('paused.bin')).to.deep.equal(content);
    // It is in order, and does the next job.
    await fleet.enqueue({ source });
    await sleeper.said(({ type }) => type === 'done');
    expect(requestsOf('sleeper', 'paused.bin')).to.equal(before);
    expect(fleet.server.uploads).to.have.lengthOf(2);
    fleet.server.assertNoViolations();
  });
});
