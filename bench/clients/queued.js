import { UploadQueue } from 'bits-upload';
import { measured } from './measured.js';

const content = new Uint8Array(1);

function* all(url, files) {
  for (let index = 0; index < files; index++) {
    yield { url: `${url}/${index}`, source: content, name: 'one.bin' };
  }
}

await measured(async ({ url, files }) => {
  const queue = new UploadQueue({ concurrency: 8 });
  await queue.addAll(all(url, files));
  const { filesFailed } = await queue.onIdle();
  if (filesFailed > 0) throw new Error(`${filesFailed} files failed`);
});
