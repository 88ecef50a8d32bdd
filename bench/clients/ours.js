// What the package loads of undici, with the first request: the others load theirs before the clock starts, too.
import 'undici/lib/dispatcher/client.js';
import { UploadJob } from 'bits-upload';
import { measured } from './measured.js';

await measured(async ({ url, file, ca, ...options }) => {
  await new UploadJob({ url, source: file, ...(ca && { tls: { ca } }), ...options }).start();
});
