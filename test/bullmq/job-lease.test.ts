import { expect } from 'chai';
import { JobLease } from '../../src/bullmq/job-lease.js';
import { RedisStore } from '../../src/bullmq/redis-store.js';
import { describeWith } from '../interop/support/installed.js';
import { anyKey, failureOf, jobRecord } from '../store/records.js';
import { REDIS } from '../support/redis.js';
import { Fleet } from './fleet.js';

describeWith('the lease of a job', [REDIS], () => {
  const fleet = Fleet.forSuite();
  let stores = 0;

  function lease(holder: string, prefix: string, lockMs = 30_000): JobLease {
    const setting = { prefix, lockMs, holder: { name: holder, renew: async () => true } };
    return new JobLease(new RedisStore(fleet.redis, setting));
  }
  const anyPrefix = (): string => `lease-${++stores}`;

  it('lets nothing be sent before it has the lock, nor after it gave it back', async () => {
    const one = lease('job-1', anyPrefix());
    const key = anyKey();
    expect(() => one.assertMaySend({ packet: 'create-session' })).to.throw(/taken this job over/);
    await one.lock(key);
    one.assertMaySend({ packet: 'create-session' });
    await one.release();
    expect(() => one.assertMaySend({ packet: 'fragment' })).to.throw(/taken this job over/);
  });

  it('lets nothing be sent by a process that was paused beyond it, before any timer runs', async () => {
    const one = lease('job-1', anyPrefix(), 300);
    await one.lock(anyKey());
    one.assertMaySend({ packet: 'fragment' });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 310);
    expect(() => one.assertMaySend({ packet: 'fragment' })).to.throw(/taken this job over/);
    expect(one.isLost).to.equal(true);
  });

  it('lets no Close be sent of which the record does not tell', async () => {
    const one = lease('job-1', anyPrefix());
    const record = jobRecord();
    await one.lock(record.key);
    await one.save(record);
    expect(() => one.assertMaySend({ packet: 'close-session' })).to.throw(/tell of the Close/);
    await one.save({ ...record, session: { ...record.session, closeUncertain: true } });
    one.assertMaySend({ packet: 'close-session' });
  });

  it('lets nothing be sent once Redis refused something', async () => {
    const prefix = anyPrefix();
    const one = lease('job-1', prefix);
    const record = jobRecord();
    await one.lock(record.key);
    await fleet.redis.hset(`{${prefix}}:records`, record.key, '{"version":9}');
    await failureOf(one.save(record));
    expect(() => one.assertMaySend({ packet: 'fragment' })).to.throw(/version 9/);
  });

  it('takes the lock over from an earlier worker of the same job, and of no other', async () => {
    const prefix = anyPrefix();
    const key = anyKey();
    const [one, again, other] = ['job-1', 'job-1', 'job-2'].map((name) => lease(name, prefix));
    await one?.lock(key);
    expect((await other?.lock(key))?.lock).to.equal(undefined);
    expect(other?.busy?.holder?.pid).to.equal(process.pid);
    expect((await again?.lock(key))?.lock).to.not.equal(undefined);
    // The first one is fenced off: by what it writes, and by its next renewal.
    expect(await failureOf(one?.save(jobRecord({ key })) ?? Promise.resolve())).to.have.property(
      'code',
      'BITS_ERR_STORE',
    );
    await again?.save(jobRecord({ key }));
  });

  it('keeps the record until the outcome is known, and drops it with the note of the Close', async () => {
    const prefix = anyPrefix();
    const one = lease('job-1', prefix);
    const record = jobRecord();
    await one.lock(record.key);
    await one.save(record);
    await one.remove(record.key);
    expect(await one.load(record.key)).to.not.equal(undefined);
    await one.closed({ bytes: 1 });
    expect(await one.load(record.key)).to.equal(undefined);
    expect(await fleet.redis.hgetall(`{${prefix}}:closed`)).to.deep.equal({
      'job-1': '{"bytes":1}',
    });
    await one.release();
  });

  it('keeps a record that was saved again after its removal, as when an upload starts over', async () => {
    const one = lease('job-1', anyPrefix());
    const record = jobRecord();
    await one.lock(record.key);
    await one.save(record);
    await one.remove(record.key);
    await one.save({ ...record, updatedAtMs: 99 });
    await one.release();
    expect(await one.load(record.key)).to.include({ updatedAtMs: 99 });
  });

  it('gives the lock back also when Redis does not drop the record', async () => {
    const prefix = anyPrefix();
    const one = lease('job-1', prefix);
    const record = jobRecord();
    await one.lock(record.key);
    await one.save(record);
    await one.remove(record.key);
    await fleet.redis.del(`{${prefix}}:records`);
    await fleet.redis.set(`{${prefix}}:records`, 'no hash');
    await failureOf(one.release());
    expect(await one.holder(record.key)).to.equal(undefined);
  });
});
