import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import { UploadJob } from '../../src/job/upload-job.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
  type Fault,
} from '../../src/testing/index.js';
import { patterned } from '../support/files.js';

const KIB = 1024;
const FRAGMENT_BYTES = 8 * KIB;
const CONTENT = patterned(5 * FRAGMENT_BYTES);

/** A server as it was met: what it always does, and what happens once. */
interface Situation {
  readonly it: string;
  readonly server?: BitsServerOptions;
  readonly faults: readonly Fault[];
  /** The code of the error, or how the session was closed. */
  readonly ends: string;
  /** The ack of Close may be lost. */
  readonly mayBePresumed?: true;
  /** Most requests. */
  readonly requests: number;
  /** The job is suspended at its third fragment, and resumed. */
  readonly isSuspended?: true;
  readonly content?: Buffer;
  readonly minDelayMs?: number;
}

const ALWAYS = Infinity;
/** The longest time for one upload. */
const LIMIT_MS = 10_000;

const SITUATIONS: readonly Situation[] = [
  ...[1, 2, 4, 5].map(
    (nth): Situation => ({
      it: `a server that appends every fragment, when the answer to number ${nth} is lost`,
      server: { overlap: 'append' },
      faults: [{ on: 'fragment', nth, do: 'reset-after-commit' }],
      ends: 'acknowledged',
      requests: 25,
    }),
  ),
  {
    it: 'a server that answers a second Close with 400, when the answer to the first is lost',
    faults: [
      { on: 'close-session', do: 'reset-after-commit' },
      { on: 'close-session', times: ALWAYS, do: { status: 400 } },
    ],
    ends: 'presumed',
    requests: 12,
  },
  {
    it: 'a server that answers a second Close with 500 and 0x1, when the answer to the first is lost',
    faults: [
      { on: 'close-session', do: 'reset-after-commit' },
      {
        on: 'close-session',
        times: ALWAYS,
        do: { status: 500, headers: { 'BITS-Error-Code': '0x1' } },
      },
    ],
    ends: 'presumed',
    requests: 20,
  },
  {
    it: 'a server that refuses every Ping',
    faults: [
      { on: 'fragment', nth: 3, do: 'hang' },
      { on: 'ping', times: ALWAYS, do: { status: 400 } },
    ],
    isSuspended: true,
    ends: 'acknowledged',
    requests: 14,
  },
  {
    it: 'a server that answers the Close of an empty file with 416',
    faults: [{ on: 'close-session', times: ALWAYS, do: { status: 416 } }],
    content: Buffer.of(),
    ends: 'BITS_ERR_SERVER',
    requests: 4,
  },
  {
    it: 'a server that closes the connection after each answer',
    faults: [{ on: 'any', times: ALWAYS, do: { closeAfterMs: 0 } }],
    // No back-off fits into the limit.
    minDelayMs: 60_000,
    ends: 'acknowledged',
    requests: 20,
  },
  {
    it: 'a server that resets the connection some time after each ack',
    faults: [{ on: 'fragment', times: ALWAYS, do: { resetAfterMs: 12 } }],
    mayBePresumed: true,
    ends: 'acknowledged',
    requests: 40,
  },
  {
    it: 'an answer that comes twice before a Close that is refused',
    faults: [
      { on: 'fragment', nth: 4, do: 'answer-twice' },
      { on: 'close-session', times: ALWAYS, do: { status: 403, hresult: 0x80070005 } },
    ],
    ends: 'BITS_ERR_SERVER',
    requests: 20,
  },
  {
    it: 'a server that loses bytes again',
    faults: [
      { on: 'fragment', nth: 2, do: { loseBytes: 10_000 } },
      { on: 'fragment', nth: 4, do: { loseBytes: 1 } },
    ],
    ends: 'acknowledged',
    requests: 20,
  },
  {
    it: 'a server that keeps one byte of some fragments',
    faults: [{ on: 'fragment', nth: 2, times: 3, do: { keepBytes: 1 } }],
    ends: 'acknowledged',
    requests: 40,
  },
];

describe('an upload to a server that was met in the wild', () => {
  let server: BitsServer;
  let controller: AbortController;
  afterEach(async () => {
    controller.abort();
    await server.close();
  });

  for (const situation of SITUATIONS) {
    const { ends, faults, requests, content = CONTENT } = situation;
    const verdict = ends.startsWith('BITS_ERR_') ? `fails with ${ends} on` : `is ${ends} by`;
    it(`${verdict} ${situation.it}`, async () => {
      server = await createBitsServer({ ...situation.server, faults });
      controller = new AbortController();
      const startedMs = performance.now();
      const job = new UploadJob({
        url: new URL('file.bin', server.url),
        source: content,
        fragmentBytes: FRAGMENT_BYTES,
        retry: { minDelayMs: situation.minDelayMs ?? 0 },
        signal: controller.signal,
      });
      let outcome = job.start();
      if (situation.isSuspended) {
        outcome.catch(() => {});
        await server.waitForRequest('fragment', 3);
        await job.suspend();
        outcome = job.resume();
      }
      const end = await outcome.then(
        ({ closed }) => closed,
        (error) => {
          if (isBitsError(error)) return error.code;
          throw error;
        },
      );
      // When the connection with the ack of Close is reset, the file is in place all the same.
      if (situation.mayBePresumed && end === 'presumed') expect(ends).to.equal('acknowledged');
      else expect(end).to.equal(ends);
      expect(performance.now() - startedMs, 'time').to.be.below(LIMIT_MS);
      expect(server.log.length, 'requests').to.be.at.most(requests);
      server.assertFaultsConsumed();
      if (ends.startsWith('BITS_ERR_')) return;
      const file = await readFile(join(server.root, 'file.bin'));
      expect(content.equals(file), `the file of ${file.length} bytes is exact`).to.equal(true);
      server.assertNoViolations();
    });
  }
});
