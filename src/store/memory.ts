import { hostname } from 'node:os';
import { checkJobKey } from './job-key.js';
import { byAge, parseRecord, serializeRecord } from './record.js';
import type { JobStore, LockOwner } from './store.js';

/** Keeps records as long as this object lives: for tests, and where nothing may reach the disk. */
export function createMemoryStore(): JobStore {
  // As text, so that nobody changes a record through an object that they saved or loaded.
  const texts = new Map<string, string>();
  const locked = new Set<string>();
  const owner: LockOwner = { pid: process.pid, hostName: hostname() };
  return {
    async save(record) {
      const text = serializeRecord(record);
      texts.set(record.key, text);
    },
    async load(key) {
      checkJobKey(key);
      const text = texts.get(key);
      return text === undefined ? undefined : parseRecord(text);
    },
    async list() {
      return { records: Array.from(texts.values(), parseRecord).sort(byAge), problems: [] };
    },
    async remove(key) {
      checkJobKey(key);
      texts.delete(key);
    },
    async lock(key) {
      checkJobKey(key);
      if (locked.has(key)) return { holder: owner };
      locked.add(key);
      let released = false;
      const lock = {
        owner,
        lost: new AbortController().signal,
        async release() {
          if (!released) locked.delete(key);
          released = true;
        },
      };
      return { lock };
    },
    async holder(key) {
      checkJobKey(key);
      return locked.has(key) ? owner : undefined;
    },
  };
}
