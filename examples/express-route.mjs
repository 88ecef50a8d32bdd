// A web app that passes what its users upload on to a BITS server, without a temp file.
//   node examples/express-route.mjs https://server.example/drop/
//   curl -T dump.zip http://127.0.0.1:3000/files/dump.zip
import { isBitsError, UploadJob } from 'bits-upload';
import express from 'express';

const [, , url, port = '3000'] = process.argv;
const app = express();

app.put('/files/:name', async (request, response) => {
  const byteLength = Number(request.headers['content-length']);
  const gone = new AbortController();
  // The user closed the page: stop, rather than wait for the rest.
  response.on('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const job = new UploadJob({
    url,
    name: request.params.name,
    source: { stream: request, byteLength },
    signal: gone.signal,
  });
  try {
    const { bytes, url: place } = await job.start();
    response.status(201).json({ bytes, url: place });
  } catch (error) {
    await job.cancel().catch(() => {});
    if (!isBitsError(error)) throw error;
    const status = error.code === 'BITS_ERR_ARGUMENT' ? 400 : 502;
    response.status(status).json({ error: error.message });
  }
});

const server = app.listen(Number(port), '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  console.log(`http://127.0.0.1:${address.port}/`);
});
