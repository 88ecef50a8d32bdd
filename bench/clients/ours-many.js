// What the package loads of undici, with the first request: the others load theirs before the clock starts, too.
import 'undici/lib/dispatcher/client.js';
import { UploadJob } from 'bits-upload';
import { measured } from './measured.js';

// As a caller with many files does it.
await measured(async ({ url, file, files, concurrency }) => {
  let next = 0;
  const worker = async () => {
    while (next < files) {
      const name = `file-${next++}`;
      await new UploadJob({ url: `${url}/${name}`, source: file, name }).start();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
});
