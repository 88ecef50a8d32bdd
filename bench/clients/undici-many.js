import { readFile } from 'node:fs/promises';
import { Pool } from 'undici';
import { measured } from './measured.js';

// The three requests of a BITS upload, file after file, and nothing else. PUT in place of BITS_POST,
// which undici alone sends without a length and closes the connection after.
await measured(async ({ url, file, files, concurrency }) => {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: concurrency });
  const send = async (path, headers, body) => {
    const answer = await pool.request({ method: 'PUT', path, headers, body });
    await answer.body.dump();
    return answer.headers;
  };
  let next = 0;
  const worker = async () => {
    while (next < files) {
      const path = `${pathname}/file-${next++}`;
      const body = await readFile(file);
      const created = await send(path, {
        'bits-packet-type': 'Create-Session',
        'bits-supported-protocols': '{7df0354d-249b-430f-820d-3d2a9bef4931}',
      });
      const session = { 'bits-session-id': created['bits-session-id'] };
      const range = `bytes 0-${body.length - 1}/${body.length}`;
      await send(
        path,
        { 'bits-packet-type': 'Fragment', ...session, 'content-range': range },
        body,
      );
      await send(path, { 'bits-packet-type': 'Close-Session', ...session });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await pool.close();
});
