// A fleet on one machine, to try it: a Redis, a BITS server, three workers, and one that is killed.
//
//   node examples/fleet/run.mjs
//
// It starts the redis-server that is installed (Debian: apt-get install redis-server), or uses the one
// that REDIS_URL names.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { enqueueUploads, fleetStatus, openUploadQueue } from 'bits-upload/bullmq';
import { createBitsServer } from 'bits-upload/testing';

const FILES = 12;
const WORKERS = 3;
const LOCK_MS = 2000;

const folder = await mkdtemp(join(tmpdir(), 'bits-fleet-'));
const children = new Set();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

const redisUrl = process.env.REDIS_URL ?? (await startRedis());
const server = await createBitsServer({
  // Slow, so that there is something to see.
  faults: [{ on: 'fragment', times: Infinity, do: { bytesPerSecond: 1_000_000 } }],
});
const workers = Array.from({ length: WORKERS }, (_, index) => startWorker(`machine-${index + 1}`));

const { queue, close } = await openUploadQueue({ connection: redisUrl, queueName: 'try' });
const uploads = [];
for (let index = 0; index < FILES; index++) {
  const source = join(folder, `file-${index}.bin`);
  await writeFile(source, new Uint8Array(1_500_000));
  uploads.push({ url: server.url, source, fragmentBytes: 256 * 1024 });
}
const jobs = await enqueueUploads(queue, uploads);

let hasKilled = false;
for (;;) {
  const { counts, active } = await fleetStatus(queue);
  console.log(`${counts.completed} of ${FILES} done`);
  for (const { worker, source, acknowledgedBytes, totalBytes } of active) {
    console.log(`  ${worker}: ${source}, ${acknowledgedBytes} of ${totalBytes ?? '?'} bytes`);
  }
  if (counts.completed === FILES) break;
  if (!hasKilled && counts.completed > 0) {
    hasKilled = true;
    console.log('machine-1 dies. Another one finds its jobs in some seconds, and resumes them.');
    workers[0]?.kill('SIGKILL');
  }
  await delay(1000);
}
const results = await Promise.all(jobs.map(({ id }) => queue.getJob(id)));
const resumed = results.filter((job) => job?.returnvalue.resumed).length;
console.log(`${server.uploads.length} files arrived, ${resumed} of them resumed by another worker`);

for (const worker of workers) worker.kill('SIGTERM');
await close();
await server.close();
for (const child of children) child.kill();
await rm(folder, { recursive: true, force: true });

/** As `bits-upload worker` on another machine. */
function startWorker(name) {
  const options = { connection: redisUrl, queueName: 'try', name, concurrency: 2, lockMs: LOCK_MS };
  const child = spawn(
    process.execPath,
    [new URL('worker.mjs', import.meta.url).pathname, JSON.stringify(options)],
    { stdio: 'inherit' },
  );
  children.add(child);
  return child;
}

async function startRedis() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  child.once('error', () => {
    console.error(
      'There is no redis-server here: install it (Debian: apt-get install redis-server), or set REDIS_URL.',
    );
    process.exit(1);
  });
  children.add(child);
  console.log(
    `redis-server on port ${port}, for a try: it keeps nothing on disk, has no password, and ends with ` +
      'this program. In production, see docs/fleet.md.',
  );
  return `redis://127.0.0.1:${port}`;
}
