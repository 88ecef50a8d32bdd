import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { BitsStoreError } from '../../src/errors.js';
import { createFileStore } from '../../src/store/file.js';
import { acquireLock, findHolder, LOCK_TIMING } from '../../src/store/lock.js';
import { identifyThisProcess, type ProcessIdentity } from '../../src/store/process-identity.js';
import type { JobLock, LockOwner } from '../../src/store/store.js';
import { childPath, killed, messageFrom, startChild } from './child.js';
import type { LockOrder } from './locking-child.js';
import { anyKey } from './records.js';

/** How often the lock changes hands under contention, come and go counted apart. */
const HANDOVERS = Number(process.env.BITS_PROVE_LOCKS ?? 200);

const isLinux = process.platform === 'linux';

/** Never waits for a sign of life: what is not decided at once fails by the test's own limit. */
const PATIENT = { ...LOCK_TIMING, silenceMs: 2 ** 31 };
const QUICK = { beatMs: 5, silenceMs: 300, pollMs: 5 };
const SILENT = { ...QUICK, beatMs: 2 ** 30 };

describe('the lock of a job', () => {
  let directory: string;
  let locks: string;
  const key = anyKey();
  const children: ChildProcess[] = [];
  const held: JobLock[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'bits-lock-'));
    locks = join(directory, 'locks');
  });
  afterEach(async () => {
    await Promise.all(held.splice(0).map((lock) => lock.release()));
    await Promise.all(children.splice(0).map(killed));
    rmSync(directory, { recursive: true, force: true });
  });

  async function lockedBy(self?: ProcessIdentity, timing = PATIENT): Promise<JobLock> {
    const { lock } = await acquireLock(locks, key, timing, self);
    if (lock === undefined) expect.fail('the lock was not given');
    held.push(lock);
    return lock;
  }

  async function lockingChild(): Promise<ChildProcess> {
    const child = await startChild('locking', directory);
    children.push(child);
    await messageFrom(child);
    return child;
  }

  async function order(child: ChildProcess, what: LockOrder): Promise<unknown> {
    const answer = messageFrom(child);
    child.send(what);
    return answer;
  }

  it('names the process that holds it', async () => {
    const child = await lockingChild();
    const owner = { pid: child.pid, hostName: hostname() };
    expect(await order(child, { lock: key })).to.deep.equal(owner);
    expect((await acquireLock(locks, key, PATIENT)).holder).to.deep.equal(owner);
    await order(child, 'release');
    await lockedBy();
  });

  it('of a killed process is free at once', async function () {
    if (process.platform === 'win32') this.skip();
    const child = await lockingChild();
    await order(child, { lock: key });
    expect(await findHolder(locks, key)).to.include({ pid: child.pid });
    await killed(child);
    expect(await findHolder(locks, key, PATIENT)).to.equal(undefined);
    await lockedBy();
    expect(await readdir(locks)).to.have.lengthOf(1);
  });

  it('of a killed process whose parent does not wait for it is free at once', async function () {
    if (!isLinux) this.skip();
    // The shell becomes `sleep`, which does not wait for the child that it inherits.
    const script = [process.execPath, await childPath('orphaning'), directory, key];
    const parent = spawn('sh', ['-c', '"$@" & exec sleep 60', 'sh', ...script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(parent);
    const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
    const stat = `/proc/${Number(String(pid))}/stat`;
    while (!/\) Z /.test(readFileSync(stat, 'utf8'))) await new Promise(setImmediate);
    await lockedBy();
  });

  it('is free at once when its pid belongs to a later process', async function () {
    const self = await identifyThisProcess();
    if (self.linux === undefined) this.skip();
    const earlier = { ...self, linux: { ...self.linux, startTicks: '1' } };
    const robbed = await lockedBy(earlier, QUICK);
    await lockedBy(self);
    if (!robbed.lost.aborted) await once(robbed.lost, 'abort');
    expect(robbed.lost.reason).to.be.instanceOf(BitsStoreError);
    await robbed.release();
    expect((await acquireLock(locks, key, PATIENT)).lock).to.equal(undefined);
  });

  it('is held by a process of this machine also when it gives no sign of life', async function () {
    const self = await identifyThisProcess();
    if (self.linux === undefined) this.skip();
    await lockedBy(self, SILENT);
    expect((await acquireLock(locks, key, { ...QUICK, silenceMs: 0 })).lock).to.equal(undefined);
  });

  const strangers: Record<string, (self: ProcessIdentity) => ProcessIdentity> = {
    'on another machine': (self) => ({
      ...self,
      hostName: 'other',
      linux: self.linux && { ...self.linux, bootId: 'other' },
    }),
    'in another container': (self) => ({
      ...self,
      linux: self.linux && { ...self.linux, pidNamespace: 'pid:[1]' },
    }),
    'on a machine of another kind': (self) => ({
      ...self,
      hostName: 'other',
      linux:
        self.linux === undefined ? { bootId: 'x', pidNamespace: 'x', startTicks: '1' } : undefined,
    }),
  };
  for (const [where, strange] of Object.entries(strangers)) {
    it(`is held by a process ${where} as long as it gives signs of life`, async () => {
      const stranger = strange(await identifyThisProcess());
      const alive = await lockedBy(stranger, QUICK);
      expect((await acquireLock(locks, key, PATIENT)).holder).to.deep.equal(alive.owner);
      expect(await findHolder(locks, key, PATIENT)).to.deep.equal(alive.owner);
      await alive.release();
      await lockedBy(stranger, SILENT);
      expect(await findHolder(locks, key, QUICK)).to.equal(undefined);
      await lockedBy(undefined, QUICK);
    });
  }

  it('is judged by pid and signs of life where the system shows no more', async () => {
    const plain = (pid: number) => ({ pid, hostName: hostname() });
    const child = await lockingChild();
    await killed(child);
    await lockedBy(plain(child.pid ?? 0), SILENT);
    const second = await lockedBy(plain(process.pid), SILENT);
    await lockedBy(plain(process.ppid), QUICK);
    await second.release();
    expect((await acquireLock(locks, key, PATIENT, plain(process.pid))).lock).to.equal(undefined);
  });

  it('is free after a while when its file was damaged by a power cut', async () => {
    await (await lockedBy()).release();
    await writeFile(join(locks, `${key}.${anyKey()}`), '');
    await lockedBy(undefined, QUICK);
  });

  it('is lost when its file is removed', async () => {
    const lock = await lockedBy(undefined, QUICK);
    await rm(locks, { recursive: true });
    if (!lock.lost.aborted) await once(lock.lost, 'abort');
    await lock.release();
  });

  it('of dead processes is removed when the jobs are listed', async () => {
    const child = await lockingChild();
    await order(child, { lock: anyKey() });
    await killed(child);
    const lock = await lockedBy();
    await createFileStore({ directory }).list();
    expect(await readdir(locks)).to.have.lengthOf(isLinux ? 1 : 2);
    await lock.release();
  });

  it('goes to exactly one of many who find the same dead owner', async function () {
    this.timeout(60_000);
    const dead = await lockingChild();
    await order(dead, { lock: key });
    const [name = ''] = await readdir(locks);
    const claim = join(directory, 'claim');
    await copyFile(join(locks, name), claim);
    await killed(dead);

    const contenders = await Promise.all(Array.from({ length: 6 }, lockingChild));
    for (let round = 0; round < 60; round++) {
      await copyFile(claim, join(locks, `${key}.${anyKey()}`));
      const answers = await Promise.all(contenders.map((child) => order(child, { lock: key })));
      const winners = answers.filter((owner) => owner !== null) as LockOwner[];
      expect(winners).to.have.lengthOf(1);
      await Promise.all(contenders.map((child) => order(child, 'release')));
    }
    expect(await readdir(locks)).to.deep.equal([]);
  });

  it('never has two holders, although the processes that contend are killed now and then', async function () {
    this.timeout(120_000);
    const log = join(directory, 'log');
    await writeFile(log, 'out\n');
    let spawned = 0;
    async function contend(): Promise<void> {
      while (spawned < 40) {
        spawned += 1;
        const child = await startChild('contending', directory, key, log, String(HANDOVERS));
        children.push(child);
        const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
        if (code === 0) return;
        expect(signal).to.equal('SIGKILL');
      }
    }
    await Promise.all(Array.from({ length: 6 }, contend));
    const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
    expect(lines.filter((line) => line.startsWith('violation'))).to.deep.equal([]);
    expect(lines.length).to.be.greaterThan(100);
    await lockedBy();
  });
});
