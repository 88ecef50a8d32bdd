/** The client's side of a scenario: uploads one file, and tells on standard output how it goes. */
import { createInterface } from 'node:readline';
import { UploadJob, type UploadOptions } from '../../src/index.js';

export type UploaderOptions = Pick<
  UploadOptions,
  'url' | 'proxy' | 'timeouts' | 'retry' | 'reply'
> & { readonly source: string };

export type UploaderEvent =
  | { readonly event: 'started' | 'suspended' }
  | {
      readonly event: 'progress';
      readonly atMs: number;
      readonly bytesAcknowledged: number;
      readonly bytesSent: number;
      readonly etaMs?: number;
    }
  | { readonly event: 'retry'; readonly atMs: number; readonly message: string }
  | {
      readonly event: 'done';
      readonly atMs: number;
      readonly bytesSent: number;
      readonly durationMs: number;
    }
  | { readonly event: 'failed'; readonly message: string };

const tell = (event: UploaderEvent) => process.stdout.write(`${JSON.stringify(event)}\n`);

const job = new UploadJob(JSON.parse(process.argv[2] ?? '') as UploaderOptions);
job.on('progress', ({ bytesAcknowledged, bytesSent, etaMs }) => {
  const eta = etaMs === undefined ? {} : { etaMs };
  tell({ event: 'progress', atMs: Date.now(), bytesAcknowledged, bytesSent, ...eta });
});
job.on('retry', ({ error: { message } }) => tell({ event: 'retry', atMs: Date.now(), message }));

const commands = createInterface({ input: process.stdin });
commands.on('line', async (line) => {
  if (line === 'suspend') {
    await job.suspend();
    tell({ event: 'suspended' });
  } else if (line === 'resume') job.resume();
});

tell({ event: 'started' });
try {
  const { bytesSent, durationMs } = await job.start();
  tell({ event: 'done', atMs: Date.now(), bytesSent, durationMs });
} catch (error) {
  tell({ event: 'failed', message: String(error) });
} finally {
  commands.close();
}
