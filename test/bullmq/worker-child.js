/** A worker as a process of its own; it prints its events as JSON lines. */
import { createUploadWorker } from 'bits-upload/bullmq';

const options = JSON.parse(process.argv[2] ?? '{}');
const worker = await createUploadWorker({
  ...options,
  // A poison job: whoever opens its source dies.
  resolveSource: () => process.kill(process.pid, 'SIGKILL'),
});
const say = (type, more) => console.log(JSON.stringify({ type, ...more }));
worker.on('started', (job) => say('started', { job: job.id }));
worker.on('done', (job, result) => say('done', { job: job.id, result }));
worker.on('returned', (job, reason) => say('returned', { job: job.id, reason }));
worker.on('failed', (job, error, isFinal) =>
  say('failed', { job: job.id, message: error.message, isFinal }),
);
worker.on('warning', (warning, job) => say('warning', { job: job?.id, ...warning }));
process.once('SIGTERM', () => void worker.close());
say('ready', {});
