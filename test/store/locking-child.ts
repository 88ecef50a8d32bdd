/** Takes the locks it is told to, and releases them when told; `null` stands for a lock not given. */
import { createFileStore } from '../../src/store/file.js';
import type { JobLock } from '../../src/store/store.js';

export type LockOrder = { readonly lock: string } | 'release';

const store = createFileStore({ directory: process.argv[2] });
let held: JobLock | undefined;

process.on('message', async (order: LockOrder) => {
  if (order === 'release') {
    await held?.release();
    held = undefined;
    process.send?.('released');
  } else {
    ({ lock: held } = await store.lock(order.lock));
    process.send?.(held?.owner ?? null);
  }
});
process.send?.('ready');
