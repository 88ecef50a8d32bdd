import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { MAX_LOCK_MS, RedisStore } from '../../src/bullmq/redis-store.js';
import { sweepStore } from '../../src/bullmq/sweep.js';
import {
  cancelUpload,
  enqueueUploads,
  type FleetJob,
  fleetStatus,
  retryUpload,
  type UploadWorker,
} from '../../src/bullmq.js';
import type { UploadWarning } from '../../src/index.js';
import { describeWith } from '../interop/support/installed.js';
import { anyKey, failureOf } from '../store/records.js';
import { writePatterned } from '../support/files.js';
import { REDIS } from '../support/redis.js';
import { Fleet, told } from './fleet.js';

const KIB = 1024;

describeWith('a fleet whose Redis holds what strangers wrote', [REDIS], () => {
  const fleet = Fleet.forSuite();

  const enqueue = async (...names: string[]): Promise<FleetJob[]> => {
    const source = fleet.path('any.bin');
    await writePatterned(source, 100 * KIB);
    return enqueueUploads(
      fleet.queue,
      names.map((name) => ({ url: fleet.server.url + name, source, fragmentBytes: 64 * KIB })),
    );
  };
  const keyOf = ({ id }: FleetJob): string => fleet.queue.toKey(id ?? '');
  const prefix = (): string => `{bits-upload:bull:${fleet.queue.name}}`;
  const warningsOf = (worker: UploadWorker): UploadWarning[] => {
    const warnings: UploadWarning[] = [];
    worker.on('warning', (warning) => warnings.push(warning));
    return warnings;
  };

  const damages: Record<string, Record<string, string | Buffer>> = {
    'data that is no JSON': { data: 'sesame' },
    'data that is no text': { data: Buffer.from([0xff, 0xfe, 0x7b]) },
    'options that are no JSON': { opts: '{' },
    'options that are null': { opts: 'null' },
    'progress that is no JSON': { progress: '{' },
    'a parent that is no JSON': { parent: '{', parentKey: 'x:y:z' },
    'a repetition of which nothing says when': { rjk: 'repeat:x:y' },
  };
  for (const [what, fields] of Object.entries(damages)) {
    it(`fails a job with ${what} for good, and tells of those beside it`, async () => {
      const [before, damaged, after] = await enqueue('before', 'damaged', 'after');
      await fleet.redis.hset(keyOf(damaged as FleetJob), fields);
      const worker = await fleet.worker({ concurrency: 1, lockMs: 60_000 });
      const done = [told(worker, 'done', before), told(worker, 'done', after)];
      const warnings = warningsOf(worker);
      const [, error, isFinal] = await told(worker, 'failed', damaged);
      expect(String(error)).to.match(/cannot read this job.*Enqueue the upload again/);
      expect(isFinal).to.equal(true);
      await Promise.all(done);
      const { counts, failed } = await fleetStatus(fleet.queue);
      expect(counts).to.include({ completed: 2, failed: 1, active: 0, waiting: 0 });
      expect(failed[0]?.reason).to.match(/cannot read this job/);
      expect(fleet.server.uploads).to.have.lengthOf(2);
      expect(JSON.stringify([warnings, failed])).to.not.match(/sesame/);
    });
  }

  it('fails a job that nobody can read although the worker that took it is gone', async () => {
    const [damaged] = await enqueue('damaged');
    const { queue, redis } = fleet;
    await redis.hset(keyOf(damaged as FleetJob), 'data', '{');
    await redis.zrem(queue.toKey('prioritized'), damaged?.id ?? '');
    await redis.lpush(queue.toKey('active'), damaged?.id ?? '');
    const worker = await fleet.worker({ lockMs: 600 });
    expect(String((await told(worker, 'failed', damaged))[1])).to.match(/cannot read this job/);
  });

  it('says of a job that nobody can read that it can be neither cancelled nor retried', async () => {
    const [damaged] = await enqueue('damaged');
    await fleet.redis.hset(keyOf(damaged as FleetJob), 'opts', 'null');
    for (const call of [cancelUpload, retryUpload]) {
      const error = await failureOf(call(fleet.queue, damaged?.id ?? ''));
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'damaged' });
    }
    expect((await fleetStatus(fleet.queue)).counts.waiting).to.equal(1);
  });

  it('drops what is left of jobs that are over, also beside one that nobody can read', async () => {
    const [damaged] = await enqueue('damaged');
    await fleet.redis.hset(keyOf(damaged as FleetJob), 'data', '{');
    const store = new RedisStore(fleet.redis, { prefix: prefix(), lockMs: 1000 });
    const names = [`${damaged?.timestamp}:${damaged?.id}`, '17:gone'];
    for (const name of names) await fleet.redis.hset(`${prefix()}:closed`, name, '{}');
    expect(await sweepStore(store, fleet.queue)).to.equal(1);
    expect(await store.holders()).to.deep.equal([names[0]]);
  });

  it('gives a lock without an end one, says so, and uploads the file when it is over', async () => {
    fleet.server.addFault({ on: 'fragment', nth: 1, do: 'hang' });
    const [job] = await enqueue('locked');
    const first = await fleet.worker();
    await fleet.server.waitForRequest('fragment', 1);
    const [lock = ''] = await fleet.redis.keys(`${prefix()}:lock:*`);
    await first.close();
    await fleet.redis.set(lock, 'whatever');
    const second = await fleet.worker();
    const warnings = warningsOf(second);
    const [, reason] = await told(second, 'returned', job);
    expect(reason).to.match(/Another job uploads this file/);
    expect(warnings.map(({ code }) => code)).to.deep.equal(['lock-without-end']);
    expect(warnings[0]?.message).to.include(`in 60 minutes`).and.to.include(`DEL ${lock}`);
    expect(await fleet.redis.pttl(lock)).to.be.within(1, MAX_LOCK_MS);
    await fleet.redis.pexpire(lock, 1);
    const done = told(second, 'done', job);
    await (await fleet.queue.getJob(job?.id ?? ''))?.promote();
    await done;
    expect(fleet.server.uploads).to.have.lengthOf(1);
    fleet.server.assertNoViolations();
  });

  for (const [what, spoil] of Object.entries({
    'has no end': (lock: string) => fleet.redis.persist(lock),
    'ends in a year': (lock: string) => fleet.redis.pexpire(lock, 365 * 24 * 60 * 60_000),
  })) {
    it(`leaves a lock that ${what} to a holder that lives, and renews it`, async () => {
      const [holder, other] = [600, 60_000].map(
        (lockMs) => new RedisStore(fleet.redis, { prefix: prefix(), lockMs }),
      );
      const key = anyKey();
      const lock = (await holder?.lock(key))?.lock;
      await spoil(`${prefix()}:lock:${key}`);
      expect(await other?.lock(key)).to.not.have.property('lock');
      const left = (): Promise<number> => fleet.redis.pttl(`${prefix()}:lock:${key}`);
      expect(await left()).to.be.within(601, MAX_LOCK_MS);
      while ((await left()) > 600) await delay(10);
      expect(lock?.lost.aborted).to.equal(false);
      expect(await other?.lock(key)).to.not.have.property('endlessKey');
      await lock?.release();
    });
  }

  it('finds a job again whose lock in BullMQ a stranger set without an end', async () => {
    const [job] = await enqueue('stuck');
    const { queue, redis } = fleet;
    const lock = `${keyOf(job as FleetJob)}:lock`;
    await redis.zrem(queue.toKey('prioritized'), job?.id ?? '');
    await redis.lpush(queue.toKey('active'), job?.id ?? '');
    await redis.set(lock, 'whatever');
    await redis.set(queue.toKey('stalled-check'), 'whatever');
    await redis.set(`${prefix()}:turn:sweep`, 'whatever');
    const first = await fleet.worker();
    // It has no turn to sweep, but the next one will.
    while ((await redis.pttl(`${prefix()}:turn:sweep`)) === -1) await delay(10);
    await redis.del(`${prefix()}:turn:sweep`);
    await first.close();
    const worker = await fleet.worker({ lockMs: 600 });
    const warnings = warningsOf(worker);
    while ((await redis.pttl(lock)) === -1) await delay(10);
    expect(warnings.map(({ message }) => message.split(' had')[0])).to.deep.equal([
      'The lock of the search for stalled jobs',
      `The lock of the job ${job?.id}`,
    ]);
    await redis.pexpire(lock, 1);
    await redis.pexpire(queue.toKey('stalled-check'), 1);
    await told(worker, 'done', job);
    expect(fleet.server.uploads).to.have.lengthOf(1);
  });
});
