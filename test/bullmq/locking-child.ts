/** Takes a lock, says so, and then tries to save each record that it is given under it. */
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import { createRedisStore } from '../../src/bullmq.js';
import type { JobRecord } from '../../src/index.js';

const [url = '', prefix = '', key = '', lockMs] = process.argv.slice(2);
const store = createRedisStore({ connection: new Redis(url), prefix, lockMs: Number(lockMs) });
const { lock } = await store.lock(key);
if (lock === undefined) throw new Error('the lock was refused');
console.log('"locked"');
for await (const line of createInterface({ input: process.stdin })) {
  const error = await store.save(JSON.parse(line) as JobRecord).then(
    () => undefined,
    (reason: { code: string }) => reason.code,
  );
  console.log(JSON.stringify({ isLost: lock.lost.aborted, error }));
}
