import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { measured } from './measured.js';

// As a caller with many files does it: two requests a file, over the client's own connections.
await measured(async ({ url, file, files, directory, concurrency }) => {
  const paths =
    directory === undefined
      ? Array(files).fill(file)
      : (await readdir(directory)).map((name) => join(directory, name));
  const upload = async (path) => {
    const handle = await open(path);
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
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) await upload(path);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
});
