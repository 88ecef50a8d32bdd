// One worker of the fleet; run.mjs starts some. On a machine of its own, `bits-upload worker` does the same.
import { createUploadWorker } from 'bits-upload/bullmq';

const worker = await createUploadWorker(JSON.parse(process.argv[2] ?? '{}'));
process.once('SIGTERM', () => void worker.close());
