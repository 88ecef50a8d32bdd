/** Saves ever newer records under the given keys, and reports each number that was kept. */
import { createFileStore } from '../../src/store/file.js';
import { parseRecord } from '../../src/store/record.js';
import { numberedRecord } from './records.js';

const [directory, first, ...keys] = process.argv.slice(2);
const store = createFileStore({ directory });
await Promise.all(
  keys.map(async (key) => {
    for (let number = Number(first); ; number++) {
      await store.save(parseRecord(numberedRecord(key, number)));
      process.send?.({ key, number });
    }
  }),
);
