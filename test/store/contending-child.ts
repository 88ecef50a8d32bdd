/**
 * Takes one lock again and again, notes in a shared log when it comes in and goes out, and sometimes
 * dies in between. Ends with 3 when it meets a holder who is alive, with 0 when the log is full.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { createFileStore } from '../../src/store/file.js';

const [directory = '', key = '', log = '', full = ''] = process.argv.slice(2);
const store = createFileStore({ directory });

const lines = () => readFileSync(log, 'utf8').trimEnd().split('\n');

function isAlive(pid: string): boolean {
  try {
    process.kill(Number(pid), 0);
    // A zombie has a pid, too.
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function violation(what: string): never {
  appendFileSync(log, `violation ${process.pid} ${what}\n`);
  process.exit(3);
}

let entries = lines().length;
while (entries < Number(full)) {
  const { lock } = await store.lock(key);
  if (lock === undefined) {
    await new Promise(setImmediate);
    entries = lines().length;
    continue;
  }
  const [before, pid] = (lines().at(-1) ?? '').split(' ');
  if (before === 'in' && pid !== undefined && isAlive(pid)) violation(`while ${pid} is in`);
  const mine = `in ${process.pid} ${lock.owner.hostName}`;
  appendFileSync(log, `${mine}\n`);
  for (let turns = 0; turns < 5; turns++) await new Promise(setImmediate);
  if (lines().at(-1) !== mine) violation('is not alone');
  if (lock.lost.aborted) violation('was robbed');
  if (Math.random() < 0.08) process.kill(process.pid, 'SIGKILL');
  appendFileSync(log, `out ${process.pid}\n`);
  await lock.release();
}
process.exit(0);
