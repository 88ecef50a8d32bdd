import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { jobStoreContract } from '../../src/store/contract.js';
import { createFileStore } from '../../src/store/file.js';
import { createMemoryStore } from '../../src/store/memory.js';
import type { JobStore } from '../../src/store/store.js';

describe('the contract of a job store', () => {
  describe('kept in memory', () => {
    for (const { name, run } of jobStoreContract({ create: createMemoryStore })) it(name, run);
  });

  describe('kept in files', () => {
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

  it('is broken by a store that forgets, one that shares its objects and one that locks twice', async () => {
    const violations: Record<string, (store: JobStore) => Partial<JobStore>> = {
      forgetful: () => ({ save: async () => {} }),
      'locks twice': (store) => ({ lock: (id) => store.lock(id).then(() => store.lock(id)) }),
      'never locked': () => ({
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
    for (const [label, violation] of Object.entries(violations)) {
      const create = () => {
        const store = createMemoryStore();
        return { ...store, ...violation(store) };
      };
      const outcomes = await Promise.allSettled(
        jobStoreContract({ create }).map(({ run }) => run()),
      );
      expect(
        outcomes.filter(({ status }) => status === 'rejected'),
        label,
      ).not.to.have.lengthOf(0);
    }
  });
});
