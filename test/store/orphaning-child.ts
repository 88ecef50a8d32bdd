/** Takes a lock and is killed, with a parent that does not wait for it. */
import { createFileStore } from '../../src/store/file.js';

const [directory, key = ''] = process.argv.slice(2);
await createFileStore({ directory }).lock(key);
process.stdout.write(`${process.pid}\n`, () => process.kill(process.pid, 'SIGKILL'));
