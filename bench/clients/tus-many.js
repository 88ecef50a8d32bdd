import { open } from 'node:fs/promises';
import { Upload } from 'tus-js-client';
import { measured } from './measured.js';

// As a caller with many files does it: two requests a file, over the client's own connections.
await measured(async ({ url, file, files, concurrency }) => {
  let next = 0;
  const upload = async () => {
    const handle = await open(file);
    try {
      const content = await handle.readFile();
      await new Promise((resolve, reject) => {
        const one = new Upload(content, {
          endpoint: url,
          retryDelays: null,
          onSuccess: () => resolve(),
          onError: reject,
        });
        one.start();
      });
    } finally {
      await handle.close();
    }
  };
  const worker = async () => {
    while (next < files) {
      next++;
      await upload();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
});
