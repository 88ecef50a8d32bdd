/** Takes a lock and is killed, in a family where nobody buries it. */
import { createFileStore } from '../../src/store/file.js';

const [directory, id = ''] = process.argv.slice(2);
await createFileStore({ directory }).lock(id);
process.stdout.write(`${process.pid}\n`, () => process.kill(process.pid, 'SIGKILL'));
