// Uploads a file in a process that dies in the middle, and resumes it in another one.
//   node examples/resume-across-processes.mjs dump.zip https://server.example/drop/ records
import { spawnSync } from 'node:child_process';
import { createFileStore, UploadJob } from 'bits-upload';

const [, program, source, url, directory, role] = process.argv;
const store = createFileStore({ directory });

if (role === 'dies') {
  const job = new UploadJob({ url, source, store, fragmentBytes: 512 * 1024 });
  job.on('progress', ({ bytesAcknowledged, bytesTotal }) => {
    if (bytesAcknowledged > bytesTotal / 2) process.kill(process.pid, 'SIGKILL');
  });
  await job.start();
} else {
  spawnSync(process.execPath, [program, source, url, directory, 'dies'], { stdio: 'inherit' });

  const [record] = (await store.list()).records;
  const job = await UploadJob.restore(store, record);
  const { bytes, bytesSent } = await job.resume();
  console.log(`the second process sent ${bytesSent} of ${bytes} bytes`);
}
