import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { jobStoreContract } from '../../src/store/contract.js';
import { createFileStore } from '../../src/store/file.js';
import { createMemoryStore } from '../../src/store/memory.js';
import type { JobRecord } from '../../src/store/record.js';
import type { JobStore } from '../../src/store/store.js';

describe('the contract of a job store', () => {
  describe('is kept by a store in memory, which', () => {
    for (const { name, run } of jobStoreContract({ create: createMemoryStore })) it(name, run);
  });

  describe('is kept by a store in files, which', () => {
    const directories = new Map<JobStore, string>();
    after(() =>
      Promise.all(Array.from(directories.values(), (path) => rm(path, { recursive: true }))),
    );
    const factory = {
      async create() {
        const directory = await mkdtemp(join(tmpdir(), 'bits-store-'));
        const store = createFileStore({ directory });
        directories.set(store, directory);
        return store;
      },
      reopen: (store: JobStore) => createFileStore({ directory: directories.get(store) }),
    };
    for (const { name, run } of jobStoreContract(factory)) it(name, run);
  });

  const violations: Record<string, (store: JobStore) => Partial<JobStore>> = {
    'forgets its records': () => ({ save: async () => {} }),
    'shares its objects': () => {
      const records = new Map<string, JobRecord>();
      return {
        save: async (record) => void records.set(record.key, record),
        load: async (key) => records.get(key),
        list: async () => ({ records: [...records.values()], problems: [] }),
      };
    },
    'names a holder but gives the lock to nobody': (store) => ({
      lock: (key) => store.lock(key).then(() => store.lock(key)),
    }),
    'gives a lock to everybody': () => ({
      lock: async () => ({
        lock: {
          owner: { pid: 1, hostName: 'x' },
          lost: new AbortController().signal,
          release: async () => {},
        },
      }),
    }),
    'lists nothing': () => ({ list: async () => ({ records: [], problems: [] }) }),
    'removes nothing': () => ({ remove: async () => {} }),
  };
  for (const [what, violation] of Object.entries(violations)) {
    it(`is not kept by a store that ${what}`, async () => {
      const create = () => {
        const store = createMemoryStore();
        return { ...store, ...violation(store) };
      };
      const outcomes = await Promise.allSettled(
        jobStoreContract({ create }).map(({ run }) => run()),
      );
      expect(outcomes.some(({ status }) => status === 'rejected')).to.equal(true);
    });
  }
});
