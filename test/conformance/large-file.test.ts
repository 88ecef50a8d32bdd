import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/job/upload-job.js';
import { createBitsServer } from '../../src/testing/index.js';
import { temporaryFolder } from '../support/files.js';

describe('a file of more than 4 GiB', () => {
  const folder = temporaryFolder();

  it('has ranges without a hole, beyond 32 bits', async function () {
    this.timeout(120_000);
    const bytes = 2 ** 32 + 5;
    const source = join(folder(), 'sparse.bin');
    const file = await open(source, 'w');
    await file.truncate(bytes);
    await file.close();
    await using server = await createBitsServer({ sink: 'discard' });
    const url = new URL('sparse.bin', server.url);
    const result = await new UploadJob({ url, source, fragmentBytes: 512 * 1024 ** 2 }).start();
    expect(result.bytesSent).to.equal(bytes);
    let end = 0;
    for (const { range } of server.log) {
      if (range === undefined) continue;
      expect(range).to.include({ start: end, total: bytes });
      end = range.end;
    }
    expect(end).to.equal(bytes);
    server.assertNoViolations();
  });
});
