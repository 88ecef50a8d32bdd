import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UploadJob, type UploadProgress } from 'bits-upload';
import { createBitsServer } from 'bits-upload/testing';

const LEAST_BYTES = 64 * 1024 ** 2;
const folder = await mkdtemp(join(tmpdir(), 'bits-upload-demo-'));

// The server's application: it answers each upload with the SHA-256 of what arrived.
const server = await createBitsServer({
  root: join(folder, 'uploads'),
  reply: async (upload) => {
    const hash = createHash('sha256');
    await pipeline(upload.open(), hash);
    return hash.digest('hex');
  },
});

try {
  const file = await bigFile();
  const url = new URL('demo.bin', server.url);
  console.log(`Uploading ${file} to ${url}`);
  const job = new UploadJob({ url, source: file, reply: true });
  for await (const progress of job.progress) draw(progress);
  const result = await job.start();
  if (process.stdout.isTTY) process.stdout.write('\n');

  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const here = hash.digest('hex');
  const there = Buffer.from(result.reply?.data ?? []).toString();
  const seconds = result.durationMs / 1000;
  const rate = (result.bytes / 1e6 / seconds).toFixed(0);
  console.log(`Sent ${result.bytes} bytes in ${seconds.toFixed(2)} s (${rate} MB/s)`);
  console.log(`SHA-256 here:  ${here}`);
  console.log(`SHA-256 there: ${there} (the reply of the server's application)`);
  server.assertNoViolations();
  if (here !== there) throw new Error('the server holds something else than was sent');
  console.log('The file arrived exactly as it was sent.');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await server.close();
  await rm(folder, { recursive: true, force: true });
}

/** The Node executable, which every machine has; repeated where it is a small one. */
async function bigFile(): Promise<string> {
  const { size } = await stat(process.execPath);
  if (size >= LEAST_BYTES) return process.execPath;
  const file = join(folder, 'demo.bin');
  for (let bytes = 0; bytes < LEAST_BYTES; bytes += size) {
    await pipeline(createReadStream(process.execPath), createWriteStream(file, { flags: 'a' }));
  }
  return file;
}

function draw({ phase, bytesSent, bytesTotal, bytesPerSecond, etaMs }: UploadProgress): void {
  if (!process.stdout.isTTY || phase === 'reply') return;
  const share = bytesSent / bytesTotal;
  const bar = '█'.repeat(Math.round(share * 30)).padEnd(30, '░');
  const speed = `${(bytesPerSecond / 1e6).toFixed(0)} MB/s`;
  const left = etaMs === undefined ? '' : ` ${(etaMs / 1000).toFixed(1)} s left`;
  process.stdout.write(`\r${bar} ${(share * 100).toFixed(0)} % ${speed}${left}\x1b[K`);
}
