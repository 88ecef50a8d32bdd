// Uploads many files: some at once, all together no faster than 2 MB/s.
//   node examples/queue.mjs https://server.example/logs/ app.log db.log
import { UploadQueue } from 'bits-upload';

const [, , url, ...files] = process.argv;
const queue = new UploadQueue({
  concurrency: 'auto',
  bandwidth: { bytesPerSecond: 2_000_000 },
});
queue.on('done', (job, { bytes }) => console.error(`${job.toJSON().source}: ${bytes} bytes`));
queue.on('failed', (job, error) => console.error(`${job.toJSON().source}: ${error.message}`));

await queue.addAll(files.map((source) => ({ url, source })));
const { filesDone, filesFailed } = await queue.onIdle();
console.log(`${filesDone} done, ${filesFailed} failed`);
process.exitCode = filesFailed > 0 ? 1 : 0;
