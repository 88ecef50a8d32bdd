import { Client } from 'undici';
import { measured } from './measured.js';

// The most that this HTTP client can do here: the same bytes from memory, request after request.
await measured(async ({ url, bytes, requestBytes, ca }) => {
  const { origin, pathname } = new URL(url);
  const client = new Client(origin, { connect: { ca } });
  const body = Buffer.alloc(requestBytes, 1);
  for (let offset = 0; offset < bytes; offset += requestBytes) {
    const part = body.subarray(0, Math.min(requestBytes, bytes - offset));
    const answer = await client.request({ method: 'PUT', path: pathname, body: part });
    await answer.body.dump();
  }
  await client.close();
});
