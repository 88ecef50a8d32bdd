// Uploads one file, and shows how far it is.
//   node examples/upload.mjs dump.zip https://server.example/drop/
import { UploadJob } from 'bits-upload';

const [, , source, url] = process.argv;
const job = new UploadJob({ url, source });
for await (const { bytesSent, bytesTotal } of job.progress) {
  console.error(`${bytesSent} of ${bytesTotal} bytes`);
}
console.log((await job.result).url);
