import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { assertMethods } from '../common/check-options.js';
import { isBitsError } from '../errors.js';
import { keyOfId } from './job-key.js';
import { type JobRecord, RECORD_VERSION, serializeRecord } from './record.js';
import type { JobLock, JobStore } from './store.js';

/** Makes the stores that the contract is tried on. */
export interface JobStoreFactory {
  /** Makes an empty store. */
  create(): JobStore | Promise<JobStore>;
  /** Opens the same store again, as another process would; left out when that is impossible. */
  reopen?(store: JobStore): JobStore | Promise<JobStore>;
}

/** One thing that every store does, as a test. */
export interface ContractCase {
  /** What a store does, as in `it(name, run)`. */
  readonly name: string;
  /** @throws AssertionError when the store does not do it */
  run(): Promise<void>;
}

/**
 * What every `JobStore` does, as test cases for any framework:
 * `for (const { name, run } of jobStoreContract(factory)) it(name, run)`.
 * @throws BITS_ERR_ARGUMENT for what makes no store
 */
export function jobStoreContract(factory: JobStoreFactory): readonly ContractCase[] {
  assertMethods('factory', factory, ['create']);
  const { reopen } = factory;
  const cases = Object.entries({ ...recordCases, ...lockCases }).map(([name, test]) => ({
    name,
    run: async () => test(await factory.create()),
  }));
  if (reopen === undefined) return cases;
  const shared = Object.entries(sharedCases).map(([name, test]) => ({
    name,
    async run() {
      const store = await factory.create();
      await test(store, await reopen.call(factory, store));
    },
  }));
  return [...cases, ...shared];
}

type Cases<Stores extends JobStore[]> = Readonly<
  Record<string, (...stores: Stores) => Promise<void>>
>;

const recordCases: Cases<[store: JobStore]> = {
  async 'returns the record that was saved, and only the fields of a record'(store) {
    const record = contractRecord();
    await store.save({ ...record, authorization: 'Basic c2VjcmV0' } as JobRecord);
    const loaded = await store.load(record.key);
    sameRecord(loaded, record);
    assert.ok(!Object.hasOwn(loaded as object, 'authorization'), 'an unknown field was kept');
    sameRecords((await store.list()).records, [record]);
  },
  async 'keeps its own copy of a record'(store) {
    const record = contractRecord();
    const session = { ...record.session };
    await store.save({ ...record, session });
    session.offset = 0;
    const loaded = await store.load(record.key);
    sameRecord(loaded, record);
    (loaded as { state: string }).state = 'changed';
    sameRecord(await store.load(record.key), record);
  },
  async 'replaces a record by a later one with the same key, whatever its id'(store) {
    const record = contractRecord();
    await store.save(record);
    const later: JobRecord = {
      ...record,
      id: randomUUID(),
      state: 'close-session',
      updatedAtMs: 1_700_000_009_000,
    };
    await store.save(later);
    sameRecord(await store.load(record.key), later);
    sameRecords((await store.list()).records, [later]);
  },
  async 'keeps jobs apart'(store) {
    const [one, two] = [contractRecord(), contractRecord()];
    await Promise.all([store.save(one), store.save(two)]);
    await store.remove(one.key);
    assert.equal(await store.load(one.key), undefined);
    sameRecord(await store.load(two.key), two);
  },
  async 'lists the oldest job first'(store) {
    const ages = [3, 1, 4, 2].map((createdAtMs) => ({ ...contractRecord(), createdAtMs }));
    for (const record of ages) await store.save(record);
    const { records } = await store.list();
    assert.deepEqual(
      records.map(({ createdAtMs }) => createdAtMs),
      [1, 2, 3, 4],
    );
  },
  async 'is empty at first, has no record under an unknown key and removes one without an error'(
    store,
  ) {
    assert.deepEqual(await store.list(), { records: [], problems: [] });
    assert.equal(await store.load(anyKey()), undefined);
    await store.remove(anyKey());
  },
  async 'ends with one whole record when saves overlap'(store) {
    const record = contractRecord();
    const versions = Array.from({ length: 10 }, (_, index) => ({
      ...record,
      updatedAtMs: record.updatedAtMs + index,
    }));
    await Promise.all(versions.map((version) => store.save(version)));
    const loaded = await store.load(record.key);
    assert.ok(versions.some((version) => version.updatedAtMs === loaded?.updatedAtMs));
  },
  async 'refuses a record that it could not read back, and keeps the former one'(store) {
    const record = contractRecord();
    await store.save(record);
    const broken = { ...record, totalBytes: -1 };
    await rejectsWith('BITS_ERR_STORE', () => store.save(broken));
    sameRecord(await store.load(record.key), record);
  },
  async 'refuses keys of another form'(store) {
    const keys = ['', '.', '../x', 'job', anyKey().toUpperCase(), `${anyKey()}/x`, randomUUID()];
    for (const key of [...keys, undefined as unknown as string]) {
      await rejectsWith('BITS_ERR_ARGUMENT', () => store.load(key));
      await rejectsWith('BITS_ERR_ARGUMENT', () => store.remove(key));
      await rejectsWith('BITS_ERR_ARGUMENT', () => store.lock(key));
      await rejectsWith('BITS_ERR_ARGUMENT', () => store.holder(key));
    }
  },
};

const lockCases: Cases<[store: JobStore]> = {
  async 'locks a job once, until it is released'(store) {
    const key = anyKey();
    const lock = await locked(store, key);
    const refused = await store.lock(key);
    assert.equal(refused.lock, undefined);
    assert.deepEqual(refused.holder, lock.owner);
    assert.equal(lock.lost.aborted, false);
    await lock.release();
    await (await locked(store, key)).release();
  },
  async 'names the holder of a lock without taking it'(store) {
    const key = anyKey();
    assert.equal(await store.holder(key), undefined);
    const lock = await locked(store, key);
    assert.deepEqual(await store.holder(key), lock.owner);
    assert.equal(await store.holder(anyKey()), undefined);
    await lock.release();
    assert.equal(await store.holder(key), undefined);
    await (await locked(store, key)).release();
  },
  async 'locks each job on its own, whether or not it has a record'(store) {
    const record = contractRecord();
    await store.save(record);
    const locks = [await locked(store, record.key), await locked(store, anyKey())];
    for (const lock of locks) await lock.release();
  },
  async 'does not free the lock of another holder when a lock is released twice'(store) {
    const key = anyKey();
    const first = await locked(store, key);
    await first.release();
    const second = await locked(store, key);
    await first.release();
    assert.equal((await store.lock(key)).lock, undefined);
    await second.release();
  },
  async 'gives the lock to exactly one of many who ask at once'(store) {
    const key = anyKey();
    const results = await Promise.all(Array.from({ length: 20 }, () => store.lock(key)));
    const locks = results.flatMap(({ lock }) => (lock === undefined ? [] : [lock]));
    assert.equal(locks.length, 1);
    await locks[0]?.release();
  },
  async 'saves, loads and removes under the lock'(store) {
    const record = contractRecord();
    const lock = await locked(store, record.key);
    await store.save(record);
    sameRecord(await store.load(record.key), record);
    await store.remove(record.key);
    assert.deepEqual(await store.list(), { records: [], problems: [] });
    await lock.release();
  },
};

const sharedCases: Cases<[store: JobStore, again: JobStore]> = {
  async 'shows its records to everyone who opens it'(store, again) {
    const record = contractRecord();
    await store.save(record);
    sameRecord(await again.load(record.key), record);
    sameRecords((await again.list()).records, [record]);
    await again.remove(record.key);
    assert.equal(await store.load(record.key), undefined);
  },
  async 'locks a job for everyone who opens it'(store, again) {
    const key = anyKey();
    const lock = await locked(store, key);
    assert.equal((await again.lock(key)).lock, undefined);
    assert.deepEqual(await again.holder(key), lock.owner);
    await lock.release();
    await (await locked(again, key)).release();
  },
};

/** Compares as text: a store may leave out a field or keep it as `undefined`. */
function sameRecord(actual: JobRecord | undefined, expected: JobRecord): void {
  assert.ok(actual, 'the record is not there');
  assert.equal(serializeRecord(actual), serializeRecord(expected));
}

function sameRecords(actual: readonly JobRecord[], expected: readonly JobRecord[]): void {
  assert.deepEqual(actual.map(serializeRecord), expected.map(serializeRecord));
}

async function locked(store: JobStore, key: string): Promise<JobLock> {
  const { lock } = await store.lock(key);
  assert.ok(lock, 'the lock was refused although nobody holds it');
  return lock;
}

async function rejectsWith(code: string, attempt: () => Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (error) => isBitsError(error) && error.code === code);
}

function anyKey(): string {
  return keyOfId(randomUUID());
}

/** A record that uses every field, or has `undefined` where it could be left out. */
function contractRecord(): JobRecord {
  return {
    version: RECORD_VERSION,
    key: anyKey(),
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
      partId: randomUUID(),
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
