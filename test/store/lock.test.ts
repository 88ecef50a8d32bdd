import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { BitsStoreError } from '../../src/errors.js';
import { createFileStore } from '../../src/store/file.js';
import { Locks, type LockTiming } from '../../src/store/lock.js';
import { identifyThisProcess, type ProcessIdentity } from '../../src/store/process-identity.js';
import type { JobLock, LockOwner } from '../../src/store/store.js';
import { runs } from '../support/prove-mode.js';
import { NEEDS, skip, skipOnWindows, skipWithoutLinks } from '../support/skip.js';
import { childPath, killed, messageFrom, startChild } from './child.js';
import type { LockOrder } from './locking-child.js';
import { anyKey, failureOf } from './records.js';

/** How often the lock changes hands under contention, come and go counted apart. */
const HANDOVERS = 200;

/** How often a dead owner's lock is broken by several at once. */
const CONTESTS = runs('BITS_PROVE_LOCKS', 12, 60);

const isLinux = process.platform === 'linux';

/** Never waits for a sign of life: what is not decided at once fails by the test's own limit. */
const PATIENT = { silenceMs: 2 ** 31 };
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

  const acquire = (timing: Partial<LockTiming>, self?: ProcessIdentity) =>
    new Locks(locks, { timing, ...(self && { self }) }).acquire(key);
  const holder = (timing: Partial<LockTiming> = PATIENT) =>
    new Locks(locks, { timing }).holder(key);

  async function lockedBy(
    self?: ProcessIdentity,
    timing: Partial<LockTiming> = PATIENT,
  ): Promise<JobLock> {
    const { lock } = await acquire(timing, self);
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
    expect((await acquire(PATIENT)).holder).to.deep.equal(owner);
    await order(child, 'release');
    await lockedBy();
  });

  it('of a killed process is free at once', async () => {
    const child = await lockingChild();
    await order(child, { lock: key });
    expect(await holder({})).to.include({ pid: child.pid });
    await killed(child);
    expect(await holder()).to.equal(undefined);
    await lockedBy();
    expect(await readdir(locks)).to.have.lengthOf(1);
  });

  it('of a killed process whose parent does not wait for it is free at once', async function () {
    if (!isLinux) skip(this, NEEDS.proc);
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
    if (self.linux === undefined) skip(this, NEEDS.proc);
    const earlier = { ...self, linux: { ...self.linux, startTicks: '1' } };
    const robbed = await lockedBy(earlier, QUICK);
    await lockedBy(self);
    if (!robbed.lost.aborted) await once(robbed.lost, 'abort');
    expect(robbed.lost.reason).to.be.instanceOf(BitsStoreError);
    await robbed.release();
    expect((await acquire(PATIENT)).lock).to.equal(undefined);
  });

  it('is held by a process of this machine also when it gives no sign of life', async function () {
    const self = await identifyThisProcess();
    if (self.linux === undefined) skip(this, NEEDS.proc);
    await lockedBy(self, SILENT);
    expect((await acquire({ ...QUICK, silenceMs: 0 })).lock).to.equal(undefined);
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
    'of which a worker thread has it': (self) => ({ ...self, thread: 1 }),
  };
  for (const [where, strange] of Object.entries(strangers)) {
    it(`is held by a process ${where} as long as it gives signs of life`, async () => {
      const stranger = strange(await identifyThisProcess());
      const alive = await lockedBy(stranger, QUICK);
      expect((await acquire(PATIENT)).holder).to.deep.equal(alive.owner);
      expect(await holder()).to.deep.equal(alive.owner);
      await alive.release();
      await lockedBy(stranger, SILENT);
      expect(await holder(QUICK)).to.equal(undefined);
      await lockedBy(undefined, QUICK);
    });
  }

  it('of a worker thread that was terminated is free after a while', async () => {
    const argv = [locks, key];
    const worker = new Worker(await childPath('thread'), { argv, execArgv: [] });
    await once(worker, 'message');
    expect((await acquire(PATIENT)).holder).to.include({ pid: process.pid });
    await worker.terminate();
    await lockedBy(undefined, QUICK);
  });

  it('is judged by pid and signs of life where the system shows no more', async () => {
    const plain = (pid: number) => ({ pid, hostName: hostname() });
    const child = await lockingChild();
    await killed(child);
    await lockedBy(plain(child.pid ?? 0), SILENT);
    const second = await lockedBy(plain(process.pid), SILENT);
    await lockedBy(plain(process.ppid), QUICK);
    await second.release();
    expect((await acquire(PATIENT, plain(process.pid))).lock).to.equal(undefined);
  });

  it('is free after a while when its file was damaged by a power cut', async () => {
    await (await lockedBy()).release();
    await writeFile(join(locks, `${key}.${anyKey()}`), '');
    await lockedBy(undefined, QUICK);
  });

  it('is taken again when somebody removed its directory and nobody else has it', async () => {
    const lock = await lockedBy(undefined, QUICK);
    await rm(locks, { recursive: true });
    while ((await holder())?.pid !== process.pid) {
      await delay(1);
      // Fails, and so ends the loop, when the time of the test is over.
      await stat(directory);
    }
    expect(lock.lost.aborted).to.equal(false);
    expect((await acquire(PATIENT)).lock).to.equal(undefined);
    await lock.release();
    await lockedBy();
  });

  it('is lost when somebody removed its file and another process took it', async () => {
    const lock = await lockedBy(undefined, { ...QUICK, beatMs: 1000 });
    const child = await lockingChild();
    let taker: unknown = null;
    // Until the child is faster than the holder, who takes it again at its next beat.
    while (taker === null) {
      for (const name of await readdir(locks)) await unlink(join(locks, name));
      taker = await order(child, { lock: key });
    }
    expect(taker).to.include({ pid: child.pid });
    if (!lock.lost.aborted) await once(lock.lost, 'abort');
    expect(lock.lost.reason).to.be.instanceOf(BitsStoreError);
    expect(lock.lost.reason.message).to.include(`process ${child.pid} on ${hostname()}`);
    await lock.release();
    expect(await holder()).to.include({ pid: child.pid });
  });

  it('that is released while it is taken again is free', async () => {
    for (let round = 0; round < 10; round++) {
      const lock = await lockedBy(undefined, QUICK);
      // It fails when a claim is made meanwhile.
      await rm(locks, { recursive: true }).catch(() => {});
      while ((await readdir(locks).catch(() => [])).length === 0) await stat(directory);
      await lock.release();
      while ((await readdir(locks)).length > 0) await stat(directory);
      expect(lock.lost.aborted).to.equal(false);
    }
  });

  it('of a process on another machine is not free because the clock of this one jumps', async () => {
    const stranger = { ...(await identifyThisProcess()), hostName: 'other' };
    const alive = await lockedBy(stranger, { ...QUICK, beatMs: 200 });
    const { now } = performance;
    const dateNow = Date.now;
    try {
      // As after a sleep of the machine, or when the time was set.
      let jumps = 0;
      performance.now = () => now.call(performance) + ++jumps * 3_600_000;
      Date.now = () => dateNow() + ++jumps * 3_600_000;
      expect((await acquire({ pollMs: 5, silenceMs: 5000 })).holder).to.deep.equal(alive.owner);
      expect(await holder({ pollMs: 5, beatMs: 200 })).to.deep.equal(alive.owner);
    } finally {
      performance.now = now;
      Date.now = dateNow;
    }
  });

  it('of a dead process is free whatever the times of its files say', async () => {
    const stranger = { ...(await identifyThisProcess()), hostName: 'other' };
    await lockedBy(stranger, SILENT);
    const [name = ''] = await readdir(locks);
    const inAYear = Date.now() / 1000 + 365 * 86_400;
    await utimes(join(locks, name), inAYear, inAYear);
    await lockedBy(undefined, QUICK);
  });

  describe('among files of others', () => {
    const intruders: Record<string, (path: string) => unknown> = {
      'a pipe': (path) => execFileSync('mkfifo', [path]),
      'a symbolic link': (path) => symlink('/dev/zero', path),
      'a directory': (path) => mkdir(path),
      'a hard link': async (path) => {
        await writeFile(join(directory, 'one'), 'c000000000000\n', { mode: 0o600 });
        await link(join(directory, 'one'), path);
      },
      'a file that everybody can write to': async (path) => {
        await writeFile(path, 'h000000000000\n', { mode: 0o600 });
        await chmod(path, 0o666);
      },
      'a file of another user': async (path) => {
        await writeFile(path, 'h000000000000\n', { mode: 0o600 });
        await chown(path, 65_534, 65_534);
      },
    };
    for (const [what, make] of Object.entries(intruders)) {
      it(`is refused, and waits for nothing, when ${what} is there`, async function () {
        if (process.platform === 'win32' || process.geteuid?.() !== 0)
          skip(this, 'needs root, and owners of files');
        await mkdir(locks);
        await make(join(locks, `${key}.${anyKey()}`));
        for (const attempt of [() => acquire(PATIENT), () => holder()]) {
          const error = await failureOf(attempt());
          expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'foreign' });
        }
        await createFileStore({ directory }).list();
        expect(await readdir(locks)).to.have.lengthOf(1);
      });
    }

    it('is free when a large file has the name of a claim, once it gives no sign of life', async () => {
      await mkdir(locks);
      // Who read all of it would find a process that is alive.
      const owner = JSON.stringify(await identifyThisProcess());
      const content = `h000000000000\n${' '.repeat(100_000)}${owner}\n`;
      await writeFile(join(locks, `${key}.${anyKey()}`), content, { mode: 0o600 });
      await lockedBy(undefined, QUICK);
    });

    it('shows no sign of life through a link that somebody put in its place', async function () {
      skipWithoutLinks(this);
      const victim = join(directory, 'victim');
      await writeFile(victim, 'untouched');
      await lockedBy(undefined, QUICK);
      const [name = ''] = await readdir(locks);
      await symlink(victim, join(directory, 'link'));
      await rename(join(directory, 'link'), join(locks, name));
      await delay(50);
      expect(await readFile(victim, 'utf8')).to.equal('untouched');
    });

    it('is refused in a directory that others can write to', async function () {
      skipOnWindows(this, 'modes');
      await mkdir(locks);
      await chmod(locks, 0o777);
      const error = await failureOf(acquire(PATIENT));
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'foreign' });
      expect(error.message).to.include('chmod 700');
    });
  });

  it('of dead processes is removed when the jobs are listed', async () => {
    const child = await lockingChild();
    await order(child, { lock: anyKey() });
    await killed(child);
    const lock = await lockedBy();
    // The process of another machine may live, and so may the one whose claim is damaged.
    const stranger = JSON.stringify({ pid: 1, hostName: 'elsewhere' });
    for (const owner of [stranger, '']) {
      const claim = join(locks, `${anyKey()}.${anyKey()}`);
      await writeFile(claim, `h000000000001\n${owner}\n`, { mode: 0o600 });
    }
    await createFileStore({ directory }).list();
    expect(await readdir(locks)).to.have.lengthOf(3);
    await lock.release();
  });

  it('goes to exactly one of many who find the same dead owner', async function () {
    this.timeout(180_000);
    const dead = await lockingChild();
    await order(dead, { lock: key });
    const [name = ''] = await readdir(locks);
    const claim = join(directory, 'claim');
    await copyFile(join(locks, name), claim);
    await killed(dead);

    const contenders = await Promise.all(Array.from({ length: 6 }, lockingChild));
    for (let round = 0; round < CONTESTS; round++) {
      await copyFile(claim, join(locks, `${key}.${anyKey()}`));
      const answers = await Promise.all(contenders.map((child) => order(child, { lock: key })));
      const winners = answers.filter((owner) => owner !== null) as LockOwner[];
      expect(winners).to.have.lengthOf(1);
      await Promise.all(contenders.map((child) => order(child, 'release')));
    }
    expect(await readdir(locks)).to.deep.equal([]);
  });

  it('never has two holders, although the processes that contend are killed now and then', async function () {
    this.timeout(240_000);
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
        // On Windows a process that kills itself ends with 1.
        expect(signal ?? code).to.equal(process.platform === 'win32' ? 1 : 'SIGKILL');
      }
    }
    await Promise.all(Array.from({ length: 6 }, contend));
    const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
    expect(lines.filter((line) => line.startsWith('violation'))).to.deep.equal([]);
    expect(lines.length).to.be.greaterThan(100);
    await lockedBy();
  });
});
