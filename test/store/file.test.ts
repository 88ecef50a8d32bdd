import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  appendFile,
  chmod,
  chown,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { expect } from 'chai';
import { BitsArgumentError, BitsStoreError } from '../../src/errors.js';
import { createFileStore, defaultJobDirectory } from '../../src/store/file.js';
import { byAge, type JobRecord, parseRecord, serializeRecord } from '../../src/store/record.js';
import { runs } from '../support/prove-mode.js';
import { NEEDS, skip, skipOnWindows } from '../support/skip.js';
import { childPath, killed, messageFrom, startChild } from './child.js';
import { anyKey, failureOf, jobRecord, numberedRecord } from './records.js';

const KILLS = runs('BITS_PROVE_STORE_KILLS', 4, 12);

const isRoot = process.getuid?.() === 0;
const posix = process.platform !== 'win32';

async function reasonOf(attempt: Promise<unknown>): Promise<string> {
  const error = await failureOf(attempt);
  if (!(error instanceof BitsStoreError)) throw error;
  return error.reason;
}

describe('the file store', () => {
  let directory: string;
  let store: ReturnType<typeof createFileStore>;
  const fileOf = (key: string) => join(directory, `${key}.json`);
  const filesIn = async () => (await readdir(directory)).filter((name) => name !== 'locks').sort();

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'bits-store-'));
    store = createFileStore({ directory });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('keeps directory and files for their owner alone', async function () {
    if (!posix) skip(this, NEEDS.modes);
    const nested = join(directory, 'a', 'b');
    const record = jobRecord();
    const nestedStore = createFileStore({ directory: nested });
    await nestedStore.save(record);
    await nestedStore.save(record);
    const { lock } = await nestedStore.lock(record.key);
    const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
    expect(await modeOf(nested)).to.equal('700');
    expect(await modeOf(join(directory, 'a'))).to.equal('700');
    expect(await modeOf(join(nested, 'locks'))).to.equal('700');
    expect(await modeOf(join(nested, `${record.key}.json`))).to.equal('600');
    const [claim] = await readdir(join(nested, 'locks'));
    expect(await modeOf(join(nested, 'locks', `${claim}`))).to.equal('600');
    await lock?.release();
    expect(await readdir(join(nested, 'locks'))).to.deep.equal([]);
  });

  it('leaves the mode of an existing directory as it is', async function () {
    if (!posix) skip(this, NEEDS.modes);
    await chmod(directory, 0o755);
    await store.save(jobRecord());
    expect((await stat(directory)).mode & 0o777).to.equal(0o755);
  });

  it('resolves a relative directory when it is created', async () => {
    const record = jobRecord();
    const relativeStore = createFileStore({ directory: relative(process.cwd(), directory) });
    const home = process.cwd();
    process.chdir(tmpdir());
    try {
      await relativeStore.save(record);
    } finally {
      process.chdir(home);
    }
    expect(await filesIn()).to.deep.equal([`${record.key}.json`]);
  });

  it('uses a directory of its own where applications keep their data', async () => {
    expect(await defaultJobDirectory()).to.match(/[\\/]bits-upload[\\/](?:Data[\\/])?jobs$/);
  });

  it('has no default directory for a user without a home directory', async function () {
    if (!posix) skip(this, 'needs a user without a home directory');
    const { HOME, XDG_DATA_HOME, ...env } = process.env;
    const printed = execFileSync(process.execPath, [await childPath('homeless')], {
      cwd: directory,
      env: { ...env, HOME: '' },
      encoding: 'utf8',
    });
    expect(printed).to.equal('unavailable\n');
    expect(await readdir(directory)).to.be.empty;
  });

  it('replaces a file and never writes into it', async () => {
    const record = jobRecord();
    await store.save(record);
    const before = await stat(fileOf(record.key));
    const text = await readFile(fileOf(record.key), 'utf8');
    const old = join(directory, 'old');
    await rename(fileOf(record.key), old);
    await store.save(record);
    await rename(old, fileOf(record.key));
    await store.save({ ...record, state: 'suspended' });
    expect((await stat(fileOf(record.key))).ino).not.to.equal(before.ino);
    expect(text).to.equal(serializeRecord(record));
    expect(await filesIn()).to.deep.equal([`${record.key}.json`]);
  });

  it('works for two stores on one directory', async () => {
    const other = createFileStore({ directory });
    const [one, two] = [jobRecord(), jobRecord()];
    await Promise.all([store.save(one), other.save(two), other.save(one), store.save(two)]);
    expect(await other.list()).to.deep.equal({ records: [one, two].sort(byAge), problems: [] });
  });

  describe('that finds a damaged record', () => {
    const damages: Record<string, (path: string) => Promise<unknown>> = {
      'cut short': (path) => truncate(path, 100),
      empty: (path) => truncate(path, 0),
      'with text after its end': (path) => appendFile(path, '}'),
      'of another kind': (path) => writeFile(path, '{"version":1,"name":"x"}'),
      'of another job': (path) => writeFile(path, serializeRecord(jobRecord())),
      'that is no text': (path) => writeFile(path, Buffer.from([0xff, 0xfe, 0x00])),
      'far too large': (path) => writeFile(path, Buffer.alloc(2 ** 20 + 1, 0x20)),
    };
    for (const [label, damage] of Object.entries(damages)) {
      it(`${label}: keeps it under another name, reports it each time and lists the others`, async () => {
        const [good, bad] = [jobRecord(), jobRecord()];
        await store.save(good);
        await store.save(bad);
        await damage(fileOf(bad.key));
        const bytes = await readFile(fileOf(bad.key));
        const aside = `${fileOf(bad.key)}.unreadable-1`;
        for (let time = 0; time < 2; time++) {
          const { records, problems } = await store.list();
          expect(records).to.deep.equal([good]);
          expect(problems).to.have.lengthOf(1);
          expect(problems[0]?.where).to.equal(aside);
          expect(problems[0]?.error).to.include({ code: 'BITS_ERR_STORE', reason: 'damaged' });
        }
        expect((await readFile(aside)).equals(bytes)).to.equal(true);
        expect(await store.load(bad.key)).to.equal(undefined);
      });
    }

    it('reports it to whoever loads it, and where it is kept', async () => {
      const record = jobRecord();
      await writeFile(fileOf(record.key), '{"version":1');
      const error = await failureOf(store.load(record.key));
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'damaged' });
      expect(error.message).to.include(`${record.key}.json.unreadable-1`);
      const { lock, holder } = await store.lock(record.key);
      expect(holder, 'who locks it then').to.equal(undefined);
      await lock?.release();
    });

    it('looks again once it has the lock: its owner may have written a new one', async () => {
      const record = jobRecord();
      await writeFile(fileOf(record.key), 'damaged');
      await mkdir(join(directory, 'locks'), { mode: 0o700 });
      // Undecided, and of another machine: it is waited for.
      const rival = join(directory, 'locks', `${record.key}.${'f'.repeat(32)}`);
      await writeFile(rival, 'c000000000001\n{"pid":1,"hostName":"elsewhere"}\n', { mode: 0o600 });
      const loaded = store.load(record.key);
      while ((await readdir(join(directory, 'locks'))).length < 2);
      await writeFile(fileOf(record.key), serializeRecord(record));
      await unlink(rival);
      expect(await loaded).to.deep.equal(record);
    });

    it('keeps each one when several are found under the same key', async () => {
      const record = jobRecord();
      for (const text of ['one', 'two', 'three']) {
        await writeFile(fileOf(record.key), text);
        await store.save(record);
        expect(await store.load(record.key)).to.deep.equal(record);
      }
      const kept = ['1', '2', '3'].map((n) =>
        readFile(`${fileOf(record.key)}.unreadable-${n}`, 'utf8'),
      );
      expect(await Promise.all(kept)).to.deep.equal(['one', 'two', 'three']);
    });

    it('leaves it to whoever holds the lock', async () => {
      const record = jobRecord();
      const { lock } = await store.lock(record.key);
      await writeFile(fileOf(record.key), 'damaged');
      const { problems } = await createFileStore({ directory }).list();
      expect(problems.map(({ where }) => where)).to.deep.equal([fileOf(record.key)]);
      expect(await reasonOf(store.load(record.key))).to.equal('damaged');
      await store.save(record);
      await lock?.release();
      expect((await store.list()).records).to.deep.equal([record]);
    });
  });

  it('leaves a record of another release alone', async () => {
    const record = jobRecord();
    const text = JSON.stringify({ ...record, version: 2 });
    await writeFile(fileOf(record.key), text);
    expect((await store.list()).problems[0]?.error.reason).to.equal('unknown-version');
    expect(await reasonOf(store.load(record.key))).to.equal('unknown-version');
    expect(await reasonOf(store.save(record))).to.equal('unknown-version');
    expect(await readFile(fileOf(record.key), 'utf8')).to.equal(text);
  });

  it('reports JSON files that are no records and ignores other files', async () => {
    await writeFile(join(directory, 'notes.json'), '{}');
    await writeFile(join(directory, 'README'), '');
    await mkdir(join(directory, 'sub'));
    const { problems } = await store.list();
    expect(problems.map(({ where }) => where)).to.deep.equal([join(directory, 'notes.json')]);
    expect(await filesIn()).to.deep.equal(['README', 'notes.json', 'sub']);
  });

  it('follows no link, reads no directory and waits for no pipe', async function () {
    skipOnWindows(this, 'fifo');
    const [link, folder, pipe, target] = [jobRecord(), jobRecord(), jobRecord(), jobRecord()];
    const outside = join(directory, 'outside');
    await writeFile(outside, serializeRecord({ ...target, key: link.key }));
    await symlink(outside, fileOf(link.key));
    await mkdir(fileOf(folder.key));
    execFileSync('mkfifo', [fileOf(pipe.key)]);
    const { records, problems } = await store.list();
    expect(records).to.deep.equal([]);
    expect(problems.map(({ error }) => error.reason)).to.deep.equal(Array(3).fill('foreign'));
    for (const record of [link, folder, pipe]) {
      expect(await reasonOf(store.load(record.key))).to.equal('foreign');
      expect(await reasonOf(store.save(record))).to.equal('foreign');
    }
    expect(await readFile(outside, 'utf8')).to.include(target.source.path);
  });

  describe('on a machine with several users', () => {
    const OTHER_USER = 65_534;
    let record: ReturnType<typeof jobRecord>;
    const attempts = (which: typeof store): Record<string, () => Promise<unknown>> => ({
      save: () => which.save(jobRecord()),
      load: () => which.load(record.key),
      list: () => which.list(),
      remove: () => which.remove(anyKey()),
      lock: () => which.lock(anyKey()),
      holder: () => which.holder(anyKey()),
    });

    beforeEach(async function () {
      if (!posix) skip(this, NEEDS.modes);
      record = jobRecord();
      await store.save(record);
    });

    it('uses no directory of another user', async function () {
      if (!isRoot) skip(this, 'needs root');
      await chown(directory, OTHER_USER, OTHER_USER);
      for (const [what, attempt] of Object.entries(attempts(store))) {
        const error = await failureOf(attempt());
        expect(error, what).to.include({ code: 'BITS_ERR_STORE', reason: 'foreign' });
        expect(error.message).to.include(directory).and.to.include(`uid ${OTHER_USER}`);
        expect(error.message).to.include('another directory');
      }
      expect(await filesIn()).to.have.lengthOf(1);
    });

    for (const mode of [0o770, 0o707, 0o722, 0o777]) {
      it(`uses no directory of the mode ${mode.toString(8)}, and names the remedy`, async () => {
        await chmod(directory, mode);
        for (const [what, attempt] of Object.entries(attempts(store))) {
          const error = await failureOf(attempt());
          expect(error, what).to.include({ code: 'BITS_ERR_STORE', reason: 'foreign' });
          expect(error.message).to.include('chmod 700');
        }
        await chmod(directory, 0o700);
        await store.save(jobRecord());
      });
    }

    it('uses a directory that others can read, or add files to but not remove any', async () => {
      for (const mode of [0o755, 0o1777]) {
        await chmod(directory, mode);
        await store.save(record);
        expect(await store.load(record.key)).to.deep.equal(record);
        await (await store.lock(record.key)).lock?.release();
      }
    });

    it('uses no record that others could have written, and leaves it as it is', async () => {
      const foreign: Record<string, (path: string) => Promise<void>> = {
        'another user can write to': (path) => chmod(path, 0o606),
        'a group can write to': (path) => chmod(path, 0o660),
        'has a second name': (path) => link(path, join(directory, 'second')),
        ...(isRoot && { 'belongs to another user': (path) => chown(path, OTHER_USER, OTHER_USER) }),
      };
      for (const [what, change] of Object.entries(foreign)) {
        await store.save(record);
        await change(fileOf(record.key));
        const before = await readFile(fileOf(record.key), 'utf8');
        for (const attempt of [() => store.load(record.key), () => store.save(record)]) {
          expect(await reasonOf(attempt()), what).to.equal('foreign');
        }
        const { records, problems } = await store.list();
        expect(records).to.deep.equal([]);
        expect(problems.map(({ error }) => error.reason)).to.deep.equal(['foreign']);
        expect(await readFile(fileOf(record.key), 'utf8')).to.equal(before);
        await unlink(fileOf(record.key));
      }
    });

    it('uses all that is in a directory that the caller trusts, as on a network share', async () => {
      const sharing = createFileStore({ directory, trustDirectory: true });
      const record = jobRecord();
      await sharing.save(record);
      const { lock } = await sharing.lock(record.key);
      const [claim = ''] = await readdir(join(directory, 'locks'));
      const paths = [directory, join(directory, 'locks', claim), fileOf(record.key)];
      for (const path of paths) {
        await chmod(path, 0o777);
        if (isRoot) await chown(path, OTHER_USER, OTHER_USER);
      }
      expect(await sharing.load(record.key)).to.deep.equal(record);
      expect((await sharing.lock(record.key)).holder).to.include({ pid: process.pid });
      await sharing.save({ ...record, state: 'suspended' });
      await lock?.release();
      expect((await sharing.list()).problems).to.deep.equal([]);
    });

    it('makes what it makes for its owner alone, whatever the umask is', async () => {
      const before = process.umask(0);
      const record = jobRecord();
      const path = join(directory, 'new');
      try {
        const strict = createFileStore({ directory: path });
        await strict.save(record);
        await strict.lock(record.key);
      } finally {
        process.umask(before);
      }
      const modeOf = async (of: string) => (await stat(of)).mode & 0o777;
      expect(await modeOf(path)).to.equal(0o700);
      expect(await modeOf(join(path, 'locks'))).to.equal(0o700);
      expect(await modeOf(join(path, `${record.key}.json`))).to.equal(0o600);
    });
  });

  it('uses a record of its owner, whatever files it names', async () => {
    const record = jobRecord({
      source: { path: '/etc/passwd', byteLength: 1000, mtimeNs: '17', inode: '42' },
      reply: {
        to: 'file',
        partId: randomUUID(),
        optional: false,
        file: '/etc/answer',
        overwrite: true,
      },
    });
    await store.save(record);
    expect((await store.list()).records).to.have.lengthOf(1);
  });

  it('refuses options that it does not have, and values of another type', () => {
    for (const options of [
      { dir: directory },
      { directory: '' },
      { directory: 7 },
      { trustDirectory: 'yes' },
    ]) {
      expect(() => createFileStore(options as object))
        .to.throw(BitsArgumentError)
        .with.property('code', 'BITS_ERR_ARGUMENT');
    }
  });

  it('makes its directory again when somebody removed it', async () => {
    const record = jobRecord();
    await store.save(record);
    await rm(directory, { recursive: true });
    expect(await store.load(record.key)).to.equal(undefined);
    await store.save(record);
    expect(await store.load(record.key)).to.deep.equal(record);
  });

  it('keeps the former record when the disk fails, names the cause and can save later', async () => {
    const record = jobRecord();
    await store.save(record);
    const handle = await open(fileOf(record.key));
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    const { sync } = prototype;
    prototype.sync = () =>
      Promise.reject(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }));
    try {
      const error = await failureOf(store.save({ ...record, state: 'suspended' }));
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
      expect(error.message).to.include('the disk failed').and.to.include(fileOf(record.key));
    } finally {
      prototype.sync = sync;
    }
    expect(await store.load(record.key)).to.deep.equal(record);
    await store.save({ ...record, state: 'suspended' });
    expect((await store.load(record.key))?.state).to.equal('suspended');
  });

  describe('what a power cut leaves of a record under its lock', () => {
    const STARTED_AT_MS = 10_000;
    let prototype: { sync: FileHandle['sync'] };
    let original: FileHandle['sync'];
    let syncs: number;
    let isDiskFull = false;

    beforeEach(async () => {
      const handle = await open(directory);
      prototype = Object.getPrototypeOf(handle);
      await handle.close();
      original = prototype.sync;
      syncs = 0;
      prototype.sync = function (this: FileHandle) {
        syncs++;
        if (isDiskFull) {
          return Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
        }
        return original.call(this);
      };
    });
    afterEach(() => {
      prototype.sync = original;
    });

    /** The syncs of each record in turn: the file's, and the directory's for the new one for certain. */
    async function syncsOf(...records: [ageMs: number, change?: Partial<JobRecord['session']>][]) {
      const { key, session } = jobRecord();
      const { lock } = await store.lock(key);
      const counts: number[] = [];
      for (const [ageMs, change] of records) {
        syncs = 0;
        await store.save(
          jobRecord({
            key,
            session: { ...session, ...change },
            createdAtMs: STARTED_AT_MS,
            updatedAtMs: STARTED_AT_MS + ageMs,
          }),
        );
        counts.push(syncs);
      }
      await lock?.release();
      return counts;
    }

    it('is nothing for certain of an upload that is over within a second', async () => {
      expect(await syncsOf([0], [500], [999, { closeUncertain: true }])).to.deep.equal([0, 0, 0]);
    });

    it('is the session of an upload that lasts longer, and then this or a later record', async () => {
      expect(await syncsOf([0], [1000], [2000], [3000])).to.deep.equal([0, 2, 1, 1]);
    });

    it('is the next session, too', async () => {
      const next = { sessionId: '{11112222}' };
      expect(await syncsOf([1000], [2000, next], [3000, next])).to.deep.equal([2, 2, 1]);
    });

    it('is a Close that is on its way', async () => {
      expect(await syncsOf([1000], [2000, { closeUncertain: true }])).to.deep.equal([2, 2]);
    });

    it('is never a Close that may have worked once it is noted that a Cancel may have ended it', async () => {
      const closing = { closeUncertain: true };
      expect(await syncsOf([1000], [2000, closing], [3000], [4000])).to.deep.equal([2, 2, 2, 1]);
      expect(await syncsOf([0, closing], [500], [1500])).to.deep.equal([0, 2, 1]);
    });

    it('is the session that the last save should have left, had the disk not been full', async () => {
      const times = { createdAtMs: STARTED_AT_MS, updatedAtMs: STARTED_AT_MS + 2000 };
      const record = jobRecord(times);
      const lost = { ...record, session: { ...record.session, sessionId: '{OTHER}' } };
      const { lock } = await store.lock(record.key);
      await store.save(record);
      isDiskFull = true;
      expect(await reasonOf(store.save(lost))).to.equal('full');
      isDiskFull = false;
      syncs = 0;
      await store.save(lost);
      expect(syncs).to.equal(2);
      await lock?.release();
    });

    it('is the directory of the records, when that is new', async () => {
      const fresh = createFileStore({ directory: join(directory, 'new') });
      await fresh.save(jobRecord());
      expect(syncs).to.equal(3);
    });

    it('is the session where a clock that was set back hides how long the upload lasts', async () => {
      expect(await syncsOf([-5000], [500])).to.deep.equal([2, 1]);
    });

    it('is the first record after one that was removed, which may come back otherwise', async () => {
      const record = jobRecord({ createdAtMs: STARTED_AT_MS, updatedAtMs: STARTED_AT_MS + 1000 });
      const { lock } = await store.lock(record.key);
      await store.save(record);
      syncs = 0;
      await store.remove(record.key);
      expect(syncs).to.equal(0);
      await store.save(record);
      expect(syncs).to.equal(2);
      await lock?.release();
    });

    it('is every record that is saved without a lock', async () => {
      await store.save(jobRecord({ createdAtMs: STARTED_AT_MS, updatedAtMs: STARTED_AT_MS }));
      expect(syncs).to.be.at.least(2);
    });

    it('is the first record of a process that resumes an upload', async () => {
      const record = jobRecord({ createdAtMs: STARTED_AT_MS, updatedAtMs: STARTED_AT_MS + 5000 });
      await store.save(record);
      const { lock } = await store.lock(record.key);
      syncs = 0;
      await store.save(record);
      expect(syncs).to.equal(2);
      await lock?.release();
    });
  });

  it('removes old temporary files of killed writers, of records and of locks', async () => {
    const { lock } = await store.lock(anyKey());
    const temp = (age: string) => [
      `${fileOf(anyKey())}.${age}.tmp`,
      join(directory, 'locks', `${anyKey()}.${anyKey()}.${age}.tmp`),
    ];
    const [old, fresh] = [temp('0123456789abcdef'), temp('fedcba9876543210')];
    for (const path of [...old, ...fresh]) await writeFile(path, 'x');
    const daysAgo = Date.now() / 1000 - 2 * 86_400;
    for (const path of old) await utimes(path, daysAgo, daysAgo);
    expect(await store.list()).to.deep.equal({ records: [], problems: [] });
    await lock?.release();
    const left = [...(await filesIn()), ...(await readdir(join(directory, 'locks')))];
    expect(left).to.have.members(fresh.map((path) => basename(path)));
  });

  it('has no jobs where there is no directory yet', async () => {
    const fresh = createFileStore({ directory: join(directory, 'none') });
    expect(await fresh.list()).to.deep.equal({ records: [], problems: [] });
    expect(await fresh.load(anyKey())).to.equal(undefined);
    await fresh.remove(anyKey());
    expect(await filesIn()).to.deep.equal([]);
  });

  it('reports a directory that is a file', async () => {
    const path = join(directory, 'file');
    await writeFile(path, '');
    for (const where of [path, join(path, 'below')]) {
      const broken = createFileStore({ directory: where });
      const writing = [() => broken.save(jobRecord()), () => broken.lock(anyKey())];
      const reading = [() => broken.list(), () => broken.load(anyKey())];
      // To Windows, what is below a file is only missing.
      for (const attempt of process.platform === 'win32' ? writing : [...writing, ...reading]) {
        const error = await failureOf(attempt());
        expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
        expect(error.message).to.include('not a directory');
      }
    }
  });

  it('has the old or the new record, whole, after its writer was killed', async function () {
    this.timeout(180_000);
    // Many at a time, so that each kill meets some in every stage of writing.
    const keys: string[] = Array.from({ length: 24 }, () => anyKey());
    const kept = new Map(keys.map((key) => [key, 0]));
    for (const key of keys) await store.save(numberedRecord(key, 0));
    for (let kill = 0; kill < KILLS; kill++) {
      const first = Math.max(...kept.values()) + 1;
      const child = await startChild('saving', directory, String(first), ...keys);
      const note = (message: unknown) => {
        const { key, number } = message as { key: string; number: number };
        kept.set(key, number);
      };
      child.on('message', note);
      try {
        // Another moment of the writing each time: messages are not in step with the disk.
        for (let messages = 0; messages < 24 + kill; messages++) await messageFrom(child);
        // What a reader sees in mid-write is what a kill may leave.
        for (let sweep = 0; sweep < 2 + (kill % 5); sweep++) {
          for (const key of keys) parseRecord(await readFile(fileOf(key), 'utf8'));
        }
      } finally {
        await killed(child);
      }
      const { records, problems } = await store.list();
      expect(problems).to.deep.equal([]);
      expect(records).to.have.lengthOf(keys.length);
      for (const record of records) {
        expect(record.createdAtMs).to.be.at.least(kept.get(record.key) ?? Infinity);
        expect(record).to.deep.equal(numberedRecord(record.key, record.createdAtMs));
      }
    }
  });

  describe('on a file system', () => {
    const mount = (...options: string[]) =>
      execFileSync('mount', ['-t', 'tmpfs', '-o', options.join(','), 'tmpfs', directory], {
        stdio: 'pipe',
      });
    let mounted = false;

    beforeEach(function () {
      mounted = false;
      if (!isRoot || process.platform !== 'linux') skip(this, 'needs root on Linux');
      try {
        mount('size=64k');
        mounted = true;
      } catch {
        skip(this, 'needs the right to mount');
      }
    });
    afterEach(() => {
      if (mounted) execFileSync('umount', [directory]);
    });

    it('that is full, keeps the old record and reports it', async () => {
      const record = numberedRecord(anyKey(), 1);
      await store.save(record);
      const fill = join(directory, 'fill');
      // Page by page, so that for one of them a part of the record fits.
      for (let pages = 15; pages >= 1; pages--) {
        await writeFile(fill, Buffer.alloc(pages * 4096)).catch(() => {});
        const next = numberedRecord(record.key, 2);
        const error = await store.save(next).catch((reason: unknown) => reason as Error);
        if (error === undefined) {
          expect(await store.load(record.key)).to.deep.equal(next);
          return;
        }
        expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'full' });
        expect(error.message).to.include('disk is full');
        expect(await store.list()).to.deep.equal({ records: [record], problems: [] });
        expect(await filesIn()).to.deep.equal([`${record.key}.json`, 'fill']);
        await unlink(fill);
      }
      expect.fail('it never fitted');
    });

    it('that is read-only, can be read, and the error of a save names the reason', async () => {
      const [record, bad] = [jobRecord(), anyKey()];
      await store.save(record);
      await writeFile(fileOf(bad), '');
      mount('remount', 'ro');
      expect(await store.load(record.key)).to.deep.equal(record);
      const { records, problems } = await store.list();
      expect(records).to.deep.equal([record]);
      expect(problems.map(({ where }) => where)).to.deep.equal([fileOf(bad)]);
      for (const attempt of [
        () => store.save(record),
        () => store.remove(record.key),
        () => store.lock(record.key),
      ]) {
        const error = await failureOf(attempt());
        expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'denied' });
        expect(error.message).to.include('read-only');
      }
    });
  });

  it('reports permissions that forbid writing', async function () {
    // Permission bits do not bind the superuser.
    if (isRoot || !posix) skip(this, 'needs a user who is not root, and modes of files');
    const record = jobRecord();
    await store.save(record);
    await chmod(directory, 0o500);
    try {
      expect(await reasonOf(store.save(record))).to.equal('denied');
      expect(await store.load(record.key)).to.deep.equal(record);
    } finally {
      await chmod(directory, 0o700);
    }
  });

  it('has no record where none is, whoever could have written one', async function () {
    if (!posix) skip(this, NEEDS.modes);
    await chmod(directory, 0o777);
    expect(await store.load(anyKey())).to.equal(undefined);
  });

  it('looks again at what is there once its lock was released', async () => {
    const record = jobRecord();
    const first = await store.lock(record.key);
    await store.save(record);
    await first.lock?.release();
    const text = JSON.stringify({ ...record, version: 2 });
    await writeFile(fileOf(record.key), text);
    expect(await reasonOf(store.save(record))).to.equal('unknown-version');
    const second = await store.lock(record.key);
    expect(await reasonOf(store.save(record))).to.equal('unknown-version');
    expect(await readFile(fileOf(record.key), 'utf8')).to.equal(text);
    await second.lock?.release();
  });
});
