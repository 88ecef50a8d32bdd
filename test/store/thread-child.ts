/** Takes a lock in a worker thread and keeps it until the thread is terminated. */
import { parentPort } from 'node:worker_threads';
import { Locks } from '../../src/store/lock.js';

const [directory = '', key = ''] = process.argv.slice(2);
await new Locks(directory, { timing: { beatMs: 10 } }).acquire(key);
parentPort?.on('message', () => {});
parentPort?.postMessage('locked');
