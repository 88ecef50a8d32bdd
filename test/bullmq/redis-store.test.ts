import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import { createRedisStore } from '../../src/bullmq.js';
import type { JobStore } from '../../src/index.js';
import { jobStoreContract } from '../../src/store/contract.js';
import { describeWith } from '../interop/support/installed.js';
import { anyKey, failureOf, jobRecord } from '../store/records.js';
import { closingAfterEach } from '../support/closing.js';
import { REDIS, RedisServer } from '../support/redis.js';

describeWith('a store in Redis', [REDIS], () => {
  let server: RedisServer;
  let redis: Redis;
  let stores = 0;

  before(async () => {
    server = await RedisServer.start();
    redis = server.connect();
  });
  after(() => server.close());
  const keep = closingAfterEach();

  const prefixes = new Map<JobStore, string>();
  const open = (prefix: string, lockMs?: number): JobStore => {
    const store = createRedisStore({ connection: redis, prefix, lockMs });
    prefixes.set(store, prefix);
    return store;
  };
  const anyPrefix = (): string => `test-${++stores}`;

  describe('keeps the contract of a job store, which', () => {
    const factory = {
      create: () => open(anyPrefix()),
      reopen: (store: JobStore) => open(prefixes.get(store) ?? ''),
    };
    for (const { name, run } of jobStoreContract(factory)) it(name, run);
  });

  it('puts the keys of one store on one node of a cluster', async () => {
    const store = open('one-node');
    const record = jobRecord();
    const { lock } = await store.lock(record.key);
    await store.save(record);
    const keys = await redis.keys('*one-node*');
    expect(keys).to.include.members(['{one-node}:records', `{one-node}:lock:${record.key}`]);
    expect(keys.every((key) => key.startsWith('{one-node}:'))).to.equal(true);
    await lock?.release();
  });

  for (const prefix of ['a{b', 'c{}d', 'e{}f{g}']) {
    it(`does so with the prefix ${prefix}, in which there is no hash tag`, async () => {
      const store = open(prefix);
      const record = jobRecord();
      await store.save(record);
      const keys = await redis.keys(`*${prefix}*:records`);
      expect(keys).to.deep.equal([`{${prefix}}:records`]);
    });
  }

  it('tells who holds a lock that a dead process left, and frees it after its time', async () => {
    const prefix = anyPrefix();
    const key = anyKey();
    const child = await lockInChild(prefix, key, 1500);
    child.kill('SIGKILL');
    const store = open(prefix);
    expect((await store.holder(key))?.pid).to.equal(child.pid);
    while ((await store.lock(key)).lock === undefined) await delay(20);
  });

  it('renews a lock for as long as its process lives', async () => {
    const prefix = anyPrefix();
    const store = open(prefix, 3000);
    const key = anyKey();
    const { lock } = await store.lock(key);
    const leftMs = (): Promise<number> => redis.pttl(`{${prefix}}:lock:${key}`);
    const atFirst = await leftMs();
    // It sinks until it is renewed.
    while ((await leftMs()) > atFirst - 900) await delay(20);
    while ((await leftMs()) < atFirst - 900) await delay(20);
    expect(lock?.lost.aborted).to.equal(false);
    await lock?.release();
  });

  it('refuses what a process writes that was paused beyond its lock, when another one has it', async () => {
    const prefix = anyPrefix();
    const record = jobRecord();
    const child = await lockInChild(prefix, record.key, 400);
    child.kill('SIGSTOP');
    const store = open(prefix);
    let lock: Awaited<ReturnType<JobStore['lock']>>['lock'];
    while (lock === undefined) {
      ({ lock } = await store.lock(record.key));
      await delay(20);
    }
    const newer = { ...record, updatedAtMs: record.updatedAtMs + 1 };
    await store.save(newer);
    const told = says(child);
    child.kill('SIGCONT');
    child.stdin?.write(`${JSON.stringify(record)}\n`);
    expect(await told).to.deep.equal({ isLost: true, error: 'BITS_ERR_STORE' });
    expect((await store.load(record.key))?.updatedAtMs).to.equal(newer.updatedAtMs);
    // Nor when the other one has finished and given the lock back.
    await lock.release();
    const again = says(child);
    child.stdin?.write(`${JSON.stringify(record)}\n`);
    expect(await again).to.deep.equal({ isLost: true, error: 'BITS_ERR_STORE' });
    expect((await store.load(record.key))?.updatedAtMs).to.equal(newer.updatedAtMs);
    child.kill('SIGKILL');
  });

  it('refuses what a process writes whose lock Redis lost with its last second, when another one has it', async () => {
    const prefix = anyPrefix();
    const record = jobRecord();
    const [first, second] = [open(prefix), open(prefix)];
    const { lock } = await first.lock(record.key);
    // As after a power cut, or a failover to a replica that lacks the last writes.
    await redis.del(await redis.keys(`{${prefix}}:*`));
    const { lock: later } = await second.lock(record.key);
    expect(await failureOf(first.save(record))).to.include({ code: 'BITS_ERR_STORE' });
    await lock?.release();
    expect(await second.holder(record.key)).to.include({ pid: process.pid });
    await later?.release();
  });

  it('has its lock when the answer to the command was lost, and it was sent again', async () => {
    const prefix = anyPrefix();
    const twice = new Proxy(redis, {
      get(target, name) {
        if (name !== 'evalsha') return Reflect.get(target, name);
        return async (...args: Parameters<Redis['evalsha']>) => {
          await target.evalsha(...args);
          return target.evalsha(...args);
        };
      },
    });
    const { lock } = await createRedisStore({ connection: twice, prefix }).lock(anyKey());
    expect(lock?.lost.aborted).to.equal(false);
    await lock?.release();
  });

  it('loses a lock that Redis forgot', async () => {
    const prefix = anyPrefix();
    const store = open(prefix, 300);
    const key = anyKey();
    const { lock } = await store.lock(key);
    await redis.del(`{${prefix}}:lock:${key}`);
    if (lock?.lost.aborted === false) await once(lock.lost, 'abort');
    await lock?.release();
  });

  it('leaves the record of another version alone, and says which it is', async () => {
    const prefix = anyPrefix();
    const store = open(prefix);
    const record = jobRecord();
    const foreign = JSON.stringify({ ...record, version: 7 });
    await redis.hset(`{${prefix}}:records`, record.key, foreign);
    const loading = await failureOf(store.load(record.key));
    expect(loading).to.include({ code: 'BITS_ERR_STORE', reason: 'unknown-version' });
    const saving = await failureOf(store.save(record));
    expect(saving).to.include({ code: 'BITS_ERR_STORE', reason: 'unknown-version' });
    expect(saving.message).to.match(/version 7/);
    expect(await redis.hget(`{${prefix}}:records`, record.key)).to.equal(foreign);
    expect((await store.list()).problems).to.have.lengthOf(1);
  });

  it('sets a damaged record aside, reports it, and takes a new one', async () => {
    const prefix = anyPrefix();
    const store = open(prefix);
    for (const text of ['{"version":1', JSON.stringify({ ...jobRecord(), totalBytes: -1 })]) {
      const record = jobRecord();
      await redis.hset(`{${prefix}}:records`, record.key, text);
      expect(await failureOf(store.load(record.key))).to.include({ reason: 'damaged' });
      expect(await store.load(record.key)).to.equal(undefined);
      await store.save(record);
      expect(await store.load(record.key)).to.deep.include({ key: record.key });
    }
    const { records, problems } = await store.list();
    expect(records).to.have.lengthOf(2);
    expect(problems).to.have.lengthOf(2);
    expect(await redis.hvals(`{${prefix}}:aside`)).to.include('{"version":1');
  });

  it('keeps each damaged record once, also when an earlier one was removed by hand', async () => {
    const prefix = anyPrefix();
    const store = open(prefix);
    const key = anyKey();
    const damage = async (text: string): Promise<void> => {
      await redis.hset(`{${prefix}}:records`, key, text);
      await store.list();
    };
    for (const text of ['one', 'two', 'two']) await damage(text);
    const aside = await redis.hgetall(`{${prefix}}:aside`);
    expect(Object.values(aside)).to.have.members(['one', 'two']);
    const [first = ''] = Object.keys(aside).filter((name) => aside[name] === 'one');
    await redis.hdel(`{${prefix}}:aside`, first);
    await damage('three');
    expect(await redis.hvals(`{${prefix}}:aside`)).to.have.members(['two', 'three']);
  });

  it('keeps what is no JSON when a record is saved in its place', async () => {
    const prefix = anyPrefix();
    const store = open(prefix);
    const record = jobRecord();
    await redis.hset(`{${prefix}}:records`, record.key, 'no JSON');
    await store.save(record);
    expect(await redis.hvals(`{${prefix}}:aside`)).to.deep.equal(['no JSON']);
  });

  it('survives a Redis that is killed, with its append-only file', async () => {
    const durable = keep(await RedisServer.start('--appendonly', 'yes', '--appendfsync', 'always'));
    const store = createRedisStore({ connection: durable.connect() });
    const record = jobRecord();
    const { lock } = await store.lock(record.key);
    await store.save(record);
    await durable.kill();
    const waiting = store.load(record.key);
    await durable.run();
    expect((await waiting)?.id).to.equal(record.id);
    // The scripts are gone, the lock is not.
    await store.save(record);
    expect(lock?.lost.aborted).to.equal(false);
    await lock?.release();
  });

  it('says that the memory of Redis is full, and what to do', async () => {
    const memory = ['--maxmemory', '100kb', '--maxmemory-policy', 'noeviction'];
    const small = keep(await RedisServer.start(...memory));
    const store = createRedisStore({ connection: small.connect() });
    const error = await failureOf(store.save(jobRecord()));
    expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'full' });
    expect(error.message).to.match(/maxmemory/);
  });

  it('repeats no argument of a command that Redis refused', async () => {
    const client = server.connect();
    await client.acl('SETUSER', 'reader', 'on', '>open-sesame', '~*', '+get');
    await client.auth('reader', 'open-sesame');
    const store = createRedisStore({ connection: client });
    const error = await failureOf(store.save(jobRecord({ contentName: 'secret.txt' })));
    expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'denied' });
    expect(JSON.stringify(Object.entries(error)) + error.stack).to.not.match(/secret|sesame/);
  });

  /** A process that has the lock of a key; of each record that it reads it tells what became of it. */
  async function lockInChild(prefix: string, key: string, lockMs: number): Promise<ChildProcess> {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', 'test/bullmq/locking-child.ts', server.url, prefix, key, String(lockMs)],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    expect(await says(child)).to.equal('locked');
    return child;
  }

  async function says(child: ChildProcess): Promise<unknown> {
    if (child.stdout === null) throw new Error('no standard output');
    const lines = createInterface({ input: child.stdout });
    const [line] = (await once(lines, 'line')) as [string];
    lines.close();
    return JSON.parse(line);
  }
});
