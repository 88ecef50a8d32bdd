// Tests an app against a BITS server that fails as planned.
//   node --test examples/test-your-app.mjs
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBitsServer } from 'bits-upload/testing';
import { uploadReport } from './your-app.mjs';

test('uploads a report', async () => {
  const server = await createBitsServer();
  const url = await uploadReport(server.url, '2026-03-01', 'all is well');
  assert.equal(url, `${server.url}reports/2026-03-01.txt`);
  const file = join(server.root, 'reports/2026-03-01.txt');
  assert.equal(await readFile(file, 'utf8'), 'all is well');
  server.assertNoViolations();
  await server.close();
});

test('uploads it also when the answer to the last packet is lost', async () => {
  const server = await createBitsServer({
    faults: [{ on: 'close-session', do: 'reset-after-commit' }],
  });
  await uploadReport(server.url, '2026-03-02', 'all is well');
  server.assertFaultsConsumed();
  assert.equal(server.uploads.length, 1);
  await server.close();
});

test('says so when the disk of the server stays full', async () => {
  const server = await createBitsServer({
    faults: [
      { on: 'fragment', times: Number.POSITIVE_INFINITY, do: { status: 500, hresult: 0x80070070 } },
    ],
  });
  await assert.rejects(uploadReport(server.url, '2026-03-03', 'all is well'), {
    code: 'BITS_ERR_SERVER',
    hresultName: 'ERROR_DISK_FULL',
  });
  await server.close();
});
