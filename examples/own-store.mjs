// Keeps the records of uploads in a database of your own, and checks the store with the contract.
//   node examples/own-store.mjs dump.zip https://server.example/drop/
import { hostname } from 'node:os';
import {
  BitsArgumentError,
  BitsStoreError,
  parseRecord,
  serializeRecord,
  UploadJob,
} from 'bits-upload';
import { jobStoreContract } from 'bits-upload/store-contract';

/** Stands for a database that several processes reach. */
class Database {
  #rows = new Map();
  get = async (key) => this.#rows.get(key);
  set = async (key, text) => void this.#rows.set(key, text);
  delete = async (key) => void this.#rows.delete(key);
  /** False when the key is there: of two who add it, one gets true. */
  add = async (key, text) => !this.#rows.has(key) && !!this.#rows.set(key, text);
  keys = async (prefix) => [...this.#rows.keys()].filter((key) => key.startsWith(prefix));
}

/** @returns {import('bits-upload').JobStore} */
function createDatabaseStore(database) {
  const me = { pid: process.pid, hostName: hostname() };
  const rowOf = (kind, key) => {
    if (/^[0-9a-f]{32}$/.test(key)) return `${kind}:${key}`;
    throw new BitsArgumentError('a key has 32 hexadecimal digits');
  };
  return {
    async save(record) {
      // Writes only the fields of a record: what else an object has may be a secret.
      await database.set(rowOf('record', record.key), serializeRecord(record));
    },
    async load(key) {
      const text = await database.get(rowOf('record', key));
      return text === undefined ? undefined : parseRecord(text);
    },
    async list() {
      const records = [];
      const problems = [];
      for (const where of await database.keys('record:')) {
        try {
          records.push(parseRecord(await database.get(where)));
        } catch (error) {
          if (!(error instanceof BitsStoreError)) throw error;
          problems.push({ where, error });
        }
      }
      records.sort((a, b) => a.createdAtMs - b.createdAtMs);
      return { records, problems };
    },
    async remove(key) {
      await database.delete(rowOf('record', key));
    },
    async lock(key) {
      const row = rowOf('lock', key);
      if (!(await database.add(row, JSON.stringify(me)))) {
        return { holder: JSON.parse(await database.get(row)) };
      }
      let isHeld = true;
      const lost = new AbortController().signal;
      const release = async () => {
        if (isHeld) await database.delete(row);
        isHeld = false;
      };
      return { lock: { owner: me, lost, release } };
    },
    async holder(key) {
      const text = await database.get(rowOf('lock', key));
      return text === undefined ? undefined : JSON.parse(text);
    },
  };
}

for (const { name, run } of jobStoreContract({
  create: () => createDatabaseStore(new Database()),
})) {
  await run();
  console.error(`ok: ${name}`);
}

const [, , source, url] = process.argv;
const store = createDatabaseStore(new Database());
const job = new UploadJob({ url, source, store });
job.once('progress', () => job.suspend());
job.on('state', async (state) => {
  if (state !== 'suspended') return;
  const { records } = await store.list();
  console.log(`${records.length} record while it is suspended`);
  await job.resume();
});
await job.start();
console.log(`${(await store.list()).records.length} records when it is done`);
