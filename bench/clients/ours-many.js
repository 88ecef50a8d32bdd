import { createUndiciTransport, UploadJob } from 'bits-upload';
import { measured } from './measured.js';

// As a caller with many files does it: one transport for all of them.
await measured(async ({ url, file, files, concurrency }) => {
  const transport = createUndiciTransport({ connections: concurrency });
  let next = 0;
  const worker = async () => {
    while (next < files) {
      const name = `file-${next++}`;
      await new UploadJob({ url: `${url}/${name}`, source: file, name, transport }).start();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await transport.close();
});
