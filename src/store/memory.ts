import { hostname } from 'node:os';
import { checkJobId } from './job-id.js';
import { parseRecord, serializeRecord } from './record.js';
import type { JobStore, LockOwner } from './store.js';

/** Keeps records for the life of this object: for tests, and where nothing shall reach the disk. */
export function createMemoryStore(): JobStore {
  // As text, so that nobody changes a record through an object that he saved or loaded.
  const texts = new Map<string, string>();
  const locked = new Set<string>();
  const owner: LockOwner = { pid: process.pid, hostName: hostname() };
  return {
    async save(record) {
      texts.set(record.id, serializeRecord(record));
    },
    async load(id) {
      checkJobId(id);
      const text = texts.get(id);
      return text === undefined ? undefined : parseRecord(text);
    },
    async list() {
      return { records: Array.from(texts.values(), parseRecord), problems: [] };
    },
    async remove(id) {
      checkJobId(id);
      texts.delete(id);
    },
    async lock(id) {
      checkJobId(id);
      if (locked.has(id)) return { holder: owner };
      locked.add(id);
      let released = false;
      const lock = {
        owner,
        lost: new AbortController().signal,
        async release() {
          if (!released) locked.delete(id);
          released = true;
        },
      };
      return { lock };
    },
    async holder(id) {
      checkJobId(id);
      return locked.has(id) ? owner : undefined;
    },
  };
}
