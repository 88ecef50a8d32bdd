import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UploadQueue } from 'bits-upload';
import { measured } from './measured.js';

// As a caller with a directory does it.
await measured(async ({ url, directory, concurrency }) => {
  const queue = new UploadQueue({ concurrency });
  const names = await readdir(directory);
  await queue.addAll(
    names.map((name) => ({ url: `${url}/${name}`, source: join(directory, name) })),
  );
  const { filesFailed } = await queue.onIdle();
  if (filesFailed > 0) throw new Error(`${filesFailed} files failed`);
});
