// The others load it before the clock starts, too; this package would load it with the first request.
import 'undici';
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
