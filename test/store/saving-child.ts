/** Saves ever newer records of the given jobs, and tells each number that was kept. */
import { createFileStore } from '../../src/store/file.js';
import { parseRecord } from '../../src/store/record.js';
import { numberedRecord } from './numbered-record.js';

const [directory, first, ...ids] = process.argv.slice(2);
const store = createFileStore({ directory });
await Promise.all(
  ids.map(async (id) => {
    for (let number = Number(first); ; number++) {
      await store.save(parseRecord(numberedRecord(id, number)));
      process.send?.({ id, number });
    }
  }),
);
