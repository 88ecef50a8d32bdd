import { createReadStream } from 'node:fs';
import { Upload } from 'tus-js-client';
import { measured } from './measured.js';

await measured(
  ({ url, file, bytes, chunkBytes }) =>
    new Promise((resolve, reject) => {
      const upload = new Upload(createReadStream(file), {
        endpoint: url,
        uploadSize: bytes,
        chunkSize: chunkBytes ?? Number.POSITIVE_INFINITY,
        retryDelays: null,
        onSuccess: () => resolve(),
        onError: reject,
      });
      upload.start();
    }),
);
