import { open } from 'node:fs/promises';
import { Client } from 'undici';
import { measured } from './measured.js';

// A good loop by hand: two reused buffers, the file read one request ahead.
await measured(async ({ url, file, bytes, requestBytes, ca }) => {
  const { origin, pathname } = new URL(url);
  const client = new Client(origin, { connect: { ca } });
  const handle = await open(file);
  const buffers = [Buffer.allocUnsafeSlow(requestBytes), Buffer.allocUnsafeSlow(requestBytes)];
  const read = (offset, index) => handle.read(buffers[index % 2], 0, requestBytes, offset);
  let ahead = read(0, 0);
  for (let offset = 0, index = 0; offset < bytes; offset += requestBytes, index++) {
    const { bytesRead, buffer } = await ahead;
    ahead = read(offset + requestBytes, index + 1);
    const body = buffer.subarray(0, bytesRead);
    const answer = await client.request({ method: 'PUT', path: pathname, body });
    await answer.body.dump();
  }
  await ahead;
  await handle.close();
  await client.close();
});
