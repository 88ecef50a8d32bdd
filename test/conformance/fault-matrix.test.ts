import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { isBitsError } from '../../src/errors.js';
import type { UploadResult } from '../../src/job/events.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { patterned, temporaryFolder } from '../support/files.js';
import { openHandles, untilClosed } from '../support/handles.js';
import { FULL, SEED } from '../support/prove-mode.js';
import { type Cost, FAULT_TABLE, type FaultRow, type Struck } from './fault-table.js';

const KIB = 1024;
const FRAGMENT_BYTES = 8 * KIB;
const FRAGMENTS = 5;
const CONTENT = patterned(FRAGMENTS * FRAGMENT_BYTES);
const REPLY = patterned(9977, 2);

/** The longest time for a job in which one request goes wrong. */
const LIMIT_MS = 3000;

type Mode = 'plain' | 'reply' | 'reply to a file';

interface Place {
  readonly title: string;
  readonly struck: Struck;
  /** Counts the requests of its kind from 1. */
  readonly nth: number;
  /** Fragments acknowledged by then. */
  readonly acknowledged: number;
  readonly modes: readonly Mode[];
  /** Requests of a plain job without a fault. */
  readonly requests: number;
}

/** By default of the first request of its kind in a job that nothing else disturbs. */
const place = (title: string, struck: Struck, more: Partial<Place> = {}): Place => ({
  title,
  struck,
  nth: 1,
  acknowledged: 0,
  modes: ['plain', 'reply'],
  requests: 7,
  ...more,
});

const PLACES: readonly Place[] = [
  place('Create-Session', 'create-session'),
  place('the Ping of a host-id', 'ping', { requests: 8 }),
  place('the Ping of a resume', 'ping', { acknowledged: 2, requests: 10 }),
  place('the first fragment', 'fragment'),
  place('the middle fragment', 'fragment', { nth: 3, acknowledged: 2 }),
  place('the last fragment', 'fragment', { nth: 5, acknowledged: 4 }),
  place('Close-Session', 'close-session', { acknowledged: 5 }),
  place('Cancel-Session', 'cancel-session', { acknowledged: 2, requests: 5 }),
  place('the GET of a reply', 'reply', { acknowledged: 5, modes: ['reply', 'reply to a file'] }),
];

function costOf({ costs }: FaultRow, place: Place, mode: Mode): Cost | undefined {
  if (place.struck !== 'fragment') return costs[place.struck];
  const { fragment } = costs;
  const last = place.nth === FRAGMENTS;
  if (last && mode !== 'plain' && costs.lastWithReply !== undefined) return costs.lastWithReply;
  if (typeof fragment === 'string' || fragment === undefined) return fragment;
  return fragment[place.nth === 1 ? 0 : last ? 2 : 1];
}

/** The most requests of a job with a fault of this cost. */
function mostRequests(cost: Cost, place: Place, mode: Mode): number {
  const canceled = place.struck === 'cancel-session';
  const faultless = place.requests + (mode === 'plain' || canceled ? 0 : 1);
  switch (cost) {
    case 'nothing':
    case 'not-freed':
      return faultless;
    case 'again':
      return faultless + 1;
    case 'resync':
      return faultless + 2;
    case 'smaller':
      return faultless + 1 + FRAGMENTS;
    case 'restart':
      // Cancel, Create, Ping and the reply, besides the fragments.
      return faultless + 1 + place.acknowledged + 4;
    default:
      return faultless;
  }
}

/**
 * An answer before the end of its request, or a time-out on a slow machine, may cost the connection:
 * the request that notices it, the small one after it, and the rest of a fragment.
 */
const BROKEN_CONNECTION = 3;

let turn = SEED;

/** All modes; in a quick run, of those in which the fault costs the same, each row tries one. */
function modesFor(row: FaultRow, place: Place): readonly Mode[] {
  if (FULL) return place.modes;
  const alike = new Map<Cost | undefined, Mode[]>();
  for (const mode of place.modes) {
    const cost = costOf(row, place, mode);
    alike.set(cost, [...(alike.get(cost) ?? []), mode]);
  }
  turn += 1;
  return [...alike.values()].map((modes) => modes[turn % modes.length] as Mode);
}

function titleOf({ name }: FaultRow, cost: Cost): string {
  return cost.startsWith('BITS_ERR_')
    ? `fails with ${cost} after "${name}", and can be resumed`
    : `survives "${name}" (${cost})`;
}

describe(`an upload with one fault, seed ${SEED}`, () => {
  const folder = temporaryFolder();
  let files = 0;

  async function run(row: FaultRow, cost: Cost, place: Place, mode: Mode): Promise<void> {
    const viaHostId = place.title.includes('host-id');
    const interrupted = place.title.includes('resume') || place.struck === 'cancel-session';
    const server: BitsServer = await createBitsServer({
      ...(mode !== 'plain' && { reply: () => REPLY }),
      ...(viaHostId && { hostId: () => `localhost:${server.port}` }),
      faults: [
        { on: place.struck, nth: place.nth, do: row.do },
        ...(interrupted ? [{ on: 'fragment', nth: 3, do: 'hang' } as const] : []),
      ],
    });
    try {
      const replyFile = join(folder(), `reply-${files++}.bin`);
      const options: UploadOptions = {
        url: new URL('file.bin', server.url),
        source: CONTENT,
        fragmentBytes: FRAGMENT_BYTES,
        retry: { minDelayMs: 0, maxRetryAfterMs: 10 },
        ...(row.waits && { timeouts: { answerMs: 250, replyMs: 250 } }),
        ...(mode === 'reply' && { reply: true }),
        ...(mode === 'reply to a file' && { reply: { to: replyFile } }),
      };
      const job = new UploadJob(options);
      const warnings: string[] = [];
      job.on('warning', ({ code }) => warnings.push(code));
      const startedMs = performance.now();
      let outcome = settled(job.start());
      if (interrupted) {
        await server.waitForRequest('fragment', 3);
        if (place.struck === 'cancel-session') await job.cancel();
        else {
          await job.suspend();
          outcome = settled(job.resume());
        }
      }
      let result = await outcome;
      expect(performance.now() - startedMs, 'time').to.be.below(LIMIT_MS);
      server.assertFaultsConsumed();
      server.assertNoViolations();
      expect(server.log.length, 'requests').to.be.at.most(
        mostRequests(cost, place, mode) + BROKEN_CONNECTION,
      );

      if (place.struck === 'cancel-session') {
        expect(result).to.equal('BITS_ERR_ABORTED');
        expect(job.state).to.equal('cancelled');
        expect(warnings).to.deep.equal(cost === 'not-freed' ? ['session-not-freed'] : []);
        return;
      }
      if (cost.startsWith('BITS_ERR_')) {
        expect(result).to.equal(cost);
        expect(job.state).to.equal('error');
        result = await settled(job.resume());
        server.assertNoViolations();
      }
      expect(result).to.be.an('object');
      const { closed, reply } = result as UploadResult;
      const closeLost = place.struck === 'close-session' && row.takesEffect;
      expect(closed).to.equal(closeLost ? 'presumed' : 'acknowledged');
      expect(warnings.includes('session-restarted'), 'restarted').to.equal(cost === 'restart');
      expect(CONTENT.equals(await readFile(join(server.root, 'file.bin'))), 'file').to.equal(true);
      if (mode === 'plain') expect(reply).to.equal(undefined);
      if (mode === 'reply')
        expect(REPLY.equals(reply?.data ?? Buffer.of()), 'reply').to.equal(true);
      if (mode === 'reply to a file')
        expect(REPLY.equals(await readFile(replyFile))).to.equal(true);
    } finally {
      await server.close();
    }
  }

  for (const place of PLACES) {
    const modes = new Map(FAULT_TABLE.map((row) => [row, modesFor(row, place)]));
    for (const mode of place.modes) {
      describe(`at ${place.title} (${mode})`, () => {
        let handles = 0;
        before(async () => {
          // Mocha starts its own timer at the first await.
          await Promise.resolve();
          handles = openHandles();
        });
        for (const row of FAULT_TABLE) {
          const cost = costOf(row, place, mode);
          if (cost === undefined || !modes.get(row)?.includes(mode)) continue;
          it(titleOf(row, cost), () => run(row, cost, place, mode));
        }
        it('leaves nothing open', async () => {
          await untilClosed(handles);
        });
      });
    }
  }
});

/** The result, or the code of a BitsError; any other error is a bug. */
async function settled(promise: Promise<UploadResult>): Promise<UploadResult | string> {
  try {
    return await promise;
  } catch (error) {
    if (isBitsError(error)) return error.code;
    throw error;
  }
}
