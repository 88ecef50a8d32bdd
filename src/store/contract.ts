import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { isBitsError } from '../errors.js';
import { type JobRecord, RECORD_VERSION, serializeRecord } from './record.js';
import { hashQuery } from './record-url.js';
import { findRecord, type JobLock, type JobStore } from './store.js';

export interface JobStoreFactory {
  /** Makes an empty store. */
  create(): JobStore | Promise<JobStore>;
  /** Opens the same store again, as another process would; left out by one that dies with its own. */
  reopen?(store: JobStore): JobStore | Promise<JobStore>;
}

export interface ContractCase {
  readonly name: string;
  /** @throws AssertionError when the store breaks the contract */
  run(): Promise<void>;
}

/**
 * What every `JobStore` must do, for running under any test framework:
 * `for (const { name, run } of jobStoreContract(factory)) it(name, run)`.
 */
export function jobStoreContract(factory: JobStoreFactory): readonly ContractCase[] {
  const { reopen } = factory;
  const cases = [...recordCases, ...lockCases].map(([name, test]) => ({
    name,
    run: async () => test(await factory.create()),
  }));
  if (reopen === undefined) return cases;
  return [
    ...cases,
    ...sharedCases.map(([name, test]) => ({
      name,
      run: async () => {
        const first = await factory.create();
        await test(first, await reopen.call(factory, first));
      },
    })),
  ];
}

type Case = readonly [name: string, test: (store: JobStore) => Promise<void>];

const recordCases: readonly Case[] = [
  [
    'gives back the record that was saved, and only what a record names',
    async (store) => {
      const record = contractRecord();
      await store.save({ ...record, authorization: 'Basic c2VjcmV0' } as JobRecord);
      const loaded = await store.load(record.id);
      sameRecord(loaded, record);
      assert.ok(!Object.hasOwn(loaded as object, 'authorization'), 'a field too many was kept');
      sameRecords((await store.list()).records, [record]);
    },
  ],
  [
    'keeps its own copy of a record',
    async (store) => {
      const record = contractRecord();
      const session = { ...record.session };
      await store.save({ ...record, session });
      session.offset = 0;
      const loaded = await store.load(record.id);
      sameRecord(loaded, record);
      (loaded as { state: string }).state = 'changed';
      sameRecord(await store.load(record.id), record);
    },
  ],
  [
    'puts a later record in place of the former one',
    async (store) => {
      const record = contractRecord();
      await store.save(record);
      const later: JobRecord = {
        ...record,
        state: 'close-session',
        updatedAtMs: 1_700_000_009_000,
      };
      await store.save(later);
      sameRecords((await store.list()).records, [later]);
    },
  ],
  [
    'keeps jobs apart',
    async (store) => {
      const [one, two] = [contractRecord(), contractRecord()];
      await Promise.all([store.save(one), store.save(two)]);
      await store.remove(one.id);
      assert.equal(await store.load(one.id), undefined);
      sameRecord(await store.load(two.id), two);
    },
  ],
  [
    'is empty at first, knows no unknown job and removes one without complaint',
    async (store) => {
      assert.deepEqual(await store.list(), { records: [], problems: [] });
      assert.equal(await store.load(randomUUID()), undefined);
      await store.remove(randomUUID());
    },
  ],
  [
    'ends with one whole record when saves overlap',
    async (store) => {
      const record = contractRecord();
      const versions = Array.from({ length: 10 }, (_, index) => ({
        ...record,
        updatedAtMs: record.updatedAtMs + index,
      }));
      await Promise.all(versions.map((version) => store.save(version)));
      const loaded = await store.load(record.id);
      assert.ok(versions.some((version) => version.updatedAtMs === loaded?.updatedAtMs));
    },
  ],
  [
    'refuses a record that it could not read back, and keeps the former one',
    async (store) => {
      const record = contractRecord();
      await store.save(record);
      const broken = { ...record, totalBytes: -1 };
      await rejectsWith('BITS_ERR_STORE', () => store.save(broken));
      sameRecord(await store.load(record.id), record);
    },
  ],
  [
    'refuses ids that are no UUID',
    async (store) => {
      const ids = ['', '.', '../x', 'job', randomUUID().toUpperCase(), `${randomUUID()}/x`];
      for (const id of [...ids, undefined as unknown as string]) {
        await rejectsWith('BITS_ERR_ARGUMENT', () => store.load(id));
        await rejectsWith('BITS_ERR_ARGUMENT', () => store.remove(id));
        await rejectsWith('BITS_ERR_ARGUMENT', () => store.lock(id));
        await rejectsWith('BITS_ERR_ARGUMENT', () => store.holder(id));
      }
    },
  ],
  [
    'finds a job by its file and its URL, the query included',
    async (store) => {
      const url = new URL('http://bits.example/drop/dump.zip?sig=abc');
      const base = contractRecord();
      const queryHash = await hashQuery(url, base.id);
      const record: JobRecord = { ...base, queryHash };
      await store.save(record);
      const query = { ...record.source, url };
      const found = async (change: object) =>
        (await findRecord(store, { ...query, ...change })).record;
      sameRecord(await found({}), record);
      assert.equal(await found({ path: '/other/dump.zip' }), undefined);
      assert.equal(await found({ mtimeNs: '1' }), undefined);
      assert.equal(await found({ byteLength: 1 }), undefined);
      assert.equal(await found({ url: new URL('?sig=abd', url) }), undefined);
      assert.equal(await found({ url: new URL('http://bits.example/drop/dump.zip') }), undefined);
    },
  ],
];

const lockCases: readonly Case[] = [
  [
    'locks a job once, until it is released',
    async (store) => {
      const id = randomUUID();
      const lock = await locked(store, id);
      const refused = await store.lock(id);
      assert.equal(refused.lock, undefined);
      assert.deepEqual(refused.holder, lock.owner);
      assert.equal(lock.lost.aborted, false);
      await lock.release();
      await (await locked(store, id)).release();
    },
  ],
  [
    'names the holder to those who look, and does not keep the job from them',
    async (store) => {
      const id = randomUUID();
      assert.equal(await store.holder(id), undefined);
      const lock = await locked(store, id);
      assert.deepEqual(await store.holder(id), lock.owner);
      assert.equal(await store.holder(randomUUID()), undefined);
      await lock.release();
      assert.equal(await store.holder(id), undefined);
      await (await locked(store, id)).release();
    },
  ],
  [
    'locks a job whether or not it has a record, and each on its own',
    async (store) => {
      const record = contractRecord();
      await store.save(record);
      const locks = [await locked(store, record.id), await locked(store, randomUUID())];
      for (const lock of locks) await lock.release();
    },
  ],
  [
    'does not free another lock when one is released twice',
    async (store) => {
      const id = randomUUID();
      const first = await locked(store, id);
      await first.release();
      const second = await locked(store, id);
      await first.release();
      assert.equal((await store.lock(id)).lock, undefined);
      await second.release();
    },
  ],
  [
    'gives the lock to exactly one of many who ask at once',
    async (store) => {
      const id = randomUUID();
      const results = await Promise.all(Array.from({ length: 20 }, () => store.lock(id)));
      const locks = results.flatMap(({ lock }) => (lock === undefined ? [] : [lock]));
      assert.equal(locks.length, 1);
      await locks[0]?.release();
    },
  ],
  [
    'saves, loads and removes under the lock',
    async (store) => {
      const record = contractRecord();
      const lock = await locked(store, record.id);
      await store.save(record);
      sameRecord(await store.load(record.id), record);
      await store.remove(record.id);
      assert.deepEqual(await store.list(), { records: [], problems: [] });
      await lock.release();
    },
  ],
];

type SharedCase = readonly [
  name: string,
  test: (store: JobStore, again: JobStore) => Promise<void>,
];

const sharedCases: readonly SharedCase[] = [
  [
    'shows its records to whoever opens it again',
    async (store, again) => {
      const record = contractRecord();
      await store.save(record);
      sameRecord(await again.load(record.id), record);
      sameRecords((await again.list()).records, [record]);
      await again.remove(record.id);
      assert.equal(await store.load(record.id), undefined);
    },
  ],
  [
    'locks a job for whoever opens it again',
    async (store, again) => {
      const id = randomUUID();
      const lock = await locked(store, id);
      assert.equal((await again.lock(id)).lock, undefined);
      assert.deepEqual(await again.holder(id), lock.owner);
      await lock.release();
      await (await locked(again, id)).release();
    },
  ],
];

/** Compares as text: a store may leave out a field or keep it as `undefined`. */
function sameRecord(actual: JobRecord | undefined, expected: JobRecord): void {
  assert.ok(actual, 'the record is not there');
  assert.equal(serializeRecord(actual), serializeRecord(expected));
}

function sameRecords(actual: readonly JobRecord[], expected: readonly JobRecord[]): void {
  assert.deepEqual(actual.map(serializeRecord), expected.map(serializeRecord));
}

async function locked(store: JobStore, id: string): Promise<JobLock> {
  const { lock } = await store.lock(id);
  assert.ok(lock, 'the lock was not given although nobody holds it');
  return lock;
}

async function rejectsWith(code: string, attempt: () => Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (error) => isBitsError(error) && error.code === code);
}

/** A record that uses every field, `undefined` standing where a field is left out. */
function contractRecord(): JobRecord {
  return {
    version: RECORD_VERSION,
    id: randomUUID(),
    url: 'http://bits.example/drop/dump.zip',
    queryHash: undefined,
    totalBytes: 5_000_000_000,
    contentName: 'dump.zip',
    source: {
      path: process.platform === 'win32' ? 'C:\\data\\dump.zip' : '/data/dump.zip',
      byteLength: 5_000_000_000,
      mtimeNs: '1700000000123456789',
      inode: '18446744073709551615',
    },
    session: {
      sessionId: '{9A2B6D1E-0000-4C3D-8E7F-001122334455}',
      hostId: 'web3.bits.example:8080',
      hostIdFallbackTimeoutMs: 86_400_000,
      offset: 4_194_304,
      replyUrl: 'BITS-Sessions\\Replies\\{9A2B6D1E}\\responsefile.bin',
      replyStored: false,
      closeUncertain: false,
    },
    reply: {
      to: 'file',
      optional: false,
      file: process.platform === 'win32' ? 'C:\\data\\answer.bin' : '/data/answer.bin',
      overwrite: true,
      maxBytes: undefined,
      resume: {
        receivedBytes: 9977,
        candidate: 0,
        totalBytes: 20_000,
        etag: '"1b2c"',
        lastModified: undefined,
        ifRange: '"1b2c"',
        place: 'http://bits.example/drop/BITS-Sessions/responsefile.bin',
      },
    },
    fragmentBytes: 4_194_304,
    state: 'fragment',
    bestOffset: 4_194_304,
    createdAtMs: 1_700_000_000_000,
    updatedAtMs: 1_700_000_001_000,
  };
}
