import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { UploadJob } from '../../src/job/upload-job.js';
import { parseContentRange } from '../../src/protocol/content-range.js';
import { createBitsServer } from '../../src/testing/index.js';
import type { Transport } from '../../src/transport/transport.js';
import { temporaryFolder } from '../support/files.js';
import { FULL } from '../support/prove-mode.js';

const BYTES = 2 ** 32 + 5;
const FRAGMENT_BYTES = 2 ** 29;
const END = Buffer.from('end!\n');

type Range = ReturnType<typeof parseContentRange>;

describe('a file of more than 4 GiB', () => {
  const folder = temporaryFolder();
  let source = '';

  before(async () => {
    source = join(folder(), 'sparse.bin');
    const file = await open(source, 'w');
    await file.truncate(BYTES);
    await file.write(END, 0, END.length, BYTES - END.length);
    await file.close();
  });

  function expectNoHole(ranges: readonly Range[]): void {
    let end = 0;
    for (const range of ranges) {
      if (range === undefined) continue;
      expect(range).to.include({ start: end, total: BYTES });
      end = range.end;
    }
    expect(end).to.equal(BYTES);
  }

  it('is sent in ranges without a hole, to its last byte', async () => {
    const ranges: Range[] = [];
    const last: Uint8Array[] = [];
    // Reads the last fragment only: 4 GiB through a socket take ten seconds.
    const transport: Transport = {
      limitations: [],
      async send({ headers, body: sent }) {
        const range = parseContentRange(headers['Content-Range'] ?? '');
        if (sent !== undefined) {
          ranges.push(range);
          expect(sent.byteLength).to.equal(Number(range?.end) - Number(range?.start));
          if (range?.end === BYTES) {
            for await (const piece of sent.pieces()) last.push(Uint8Array.from(piece));
          }
        }
        return {
          status: 200,
          headers: {
            'bits-packet-type': 'Ack',
            'bits-session-id': '{1}',
            ...(range && { 'bits-received-content-range': `${range.end}` }),
          },
          body: (async function* () {})(),
        };
      },
      async close() {},
    };
    const url = 'http://localhost/sparse.bin';
    const job = new UploadJob({ url, source, fragmentBytes: FRAGMENT_BYTES, transport });
    expect((await job.start()).closed).to.equal('acknowledged');
    expectNoHole(ranges);
    expect(Buffer.concat(last)).to.deep.equal(END);
  });

  if (!FULL) return;
  it('arrives at the reference server', async function () {
    this.timeout(120_000);
    await using server = await createBitsServer({ sink: 'discard' });
    const url = new URL('sparse.bin', server.url);
    const result = await new UploadJob({ url, source, fragmentBytes: FRAGMENT_BYTES }).start();
    expect(result.bytesSent).to.equal(BYTES);
    expectNoHole(server.log.map(({ range }) => range));
    server.assertNoViolations();
  });
});
