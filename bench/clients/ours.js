// The others load it before the clock starts, too; this package would load it with the first request.
import 'undici';
import { UploadJob } from 'bits-upload';
import { measured } from './measured.js';

await measured(async ({ url, file, ca, ...options }) => {
  await new UploadJob({ url, source: file, ...(ca && { tls: { ca } }), ...options }).start();
});
