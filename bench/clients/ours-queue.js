import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileStore, UploadQueue } from 'bits-upload';
import { measured } from './measured.js';

// As a caller with a directory does it.
await measured(async ({ url, directory, concurrency, isRecorded = false }) => {
  const defaults = isRecorded ? { store: createFileStore() } : {};
  const queue = new UploadQueue({ concurrency, defaults });
  const names = await readdir(directory);
  await queue.addAll(
    names.map((name) => ({ url: `${url}/${name}`, source: join(directory, name) })),
  );
  const { filesFailed } = await queue.onIdle();
  if (filesFailed > 0) throw new Error(`${filesFailed} files failed`);
});
