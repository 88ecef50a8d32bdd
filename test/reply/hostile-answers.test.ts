import { PassThrough } from 'node:stream';
import { inspect } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { replyCandidates } from '../../src/reply/candidates.js';
import { ReplyDownload } from '../../src/reply/download.js';
import type { ReplyFetch } from '../../src/reply/get.js';
import { patterned } from '../support/files.js';
import { bitsError } from '../transport/support.js';
import { never, resolved } from './support.js';

const remoteUrl = new URL('http://web.example/uploads/file.bin');
const MAX_ATTEMPTS = 40;
const MAX_REQUESTS_OF_AN_ATTEMPT = 40;

/** Versions of one reply, each of a length of its own. */
const versions = [patterned(60, 1), patterned(75, 2)];

/** An answer that may contradict itself or the request, but whose bytes are where it says they are. */
const hostileAnswer = fc.record({
  status: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(200, 206) },
    { weight: 1, arbitrary: fc.constantFrom(416, 302, 303, 404, 204, 503, 401, 304) },
  ),
  version: fc.constantFrom(0, 0, 1),
  isWeak: fc.boolean(),
  length: fc.constantFrom('right', 'right', 'none', 'none', 'less', 'more', 'garbage'),
  start: fc.constantFrom('requested', 'requested', 'requested', 'earlier', 'later'),
  total: fc.constantFrom('right', 'right', 'unknown', 'wrong'),
  range: fc.constantFrom('bytes', 'bytes', 'bytes', 'bytes', 'items', 'none'),
  isEncoded: fc.constantFrom(false, false, false, false, false, true),
  isMultipart: fc.constantFrom(false, false, false, false, false, true),
  slice: fc.constantFrom(1000, 1000, 20, 1),
  end: fc.constantFrom('whole', 'whole', 'cut', 'cut', 'short', 'long'),
  pieceBytes: fc.integer({ min: 1, max: 40 }),
});
type HostileAnswer = Parameters<Parameters<typeof hostileAnswer.map>[0]>[0];

/** After which there is something to resume. */
const CUT: HostileAnswer = {
  status: 200,
  version: 0,
  isWeak: false,
  length: 'right',
  start: 'requested',
  total: 'right',
  range: 'bytes',
  isEncoded: false,
  isMultipart: false,
  slice: 1000,
  end: 'cut',
  pieceBytes: 20,
};

function shifted(start: number, by: HostileAnswer['start']): number {
  return { requested: start, earlier: Math.max(0, start - 3), later: start + 3 }[by];
}

function respond(plan: HostileAnswer, range: string | undefined): ReturnType<ReplyFetch> {
  const whole = versions[plan.version]!;
  const isPart = plan.status === 206;
  const start = isPart ? shifted(Number(/\d+/.exec(range ?? '0')?.[0]), plan.start) : 0;
  const bytes = whole.subarray(start, isPart ? start + plan.slice : undefined);
  const total = { right: whole.length, unknown: '*', wrong: whole.length + 9 }[plan.total];
  const told = { right: 0, none: 0, less: -5, more: 7, garbage: 0 }[plan.length] + bytes.length;
  const hasRange = isPart && plan.range !== 'none';
  const headers = {
    etag: `${plan.isWeak ? 'W/' : ''}"v${plan.version}"`,
    location: '/other?sig=s3cret',
    ...(plan.length !== 'none' && {
      'content-length': plan.length === 'garbage' ? `${told}, ${told}` : String(told),
    }),
    ...(hasRange && {
      'content-range': `${plan.range} ${start}-${start + bytes.length - 1}/${total}`,
    }),
    ...(plan.status === 416 && { 'content-range': `bytes */${total}` }),
    ...(plan.isEncoded && { 'content-encoding': 'gzip' }),
    ...(plan.isMultipart && { 'content-type': 'multipart/byteranges; boundary=b' }),
  };
  // Nobody can tell that a body without any length ends early in good order, or too late.
  const isMeasured = plan.length !== 'none' || hasRange;
  const body = (async function* () {
    const ends = { whole: bytes.length, cut: bytes.length - 2, short: bytes.length - 3, long: 999 };
    const end = isMeasured || plan.end === 'cut' ? ends[plan.end] : ends.whole;
    // Within an announced length, wrong bytes are as good as right ones.
    const isLonger = end > bytes.length && plan.length !== 'more';
    const sent = isLonger ? Buffer.concat([bytes, patterned(4, 9)]) : bytes.subarray(0, end);
    for (let at = 0; at < sent.length; at += plan.pieceBytes) {
      yield sent.subarray(at, at + plan.pieceBytes);
    }
    if (plan.end === 'cut') throw new Error('reset');
  })();
  return Promise.resolve({ status: plan.status, headers, body });
}

describe('the download of a reply from a hostile server', () => {
  it('ends, and never with bytes that are not one whole version of the reply', async () => {
    let successes = 0;
    const server = fc
      .tuple(fc.boolean(), fc.array(hostileAnswer, { minLength: 1, maxLength: 12 }))
      .map(([isCut, plans]) => (isCut ? [CUT, ...plans] : plans));
    await fc.assert(
      fc.asyncProperty(server, fc.boolean(), async (plans, toStream) => {
        let requests = 0;
        let isTotalWrong = false;
        const fetch: ReplyFetch = ({ headers }) => {
          requests += 1;
          const plan = plans[(requests - 1) % plans.length]!;
          isTotalWrong ||= plan.total === 'wrong' && [206, 416].includes(plan.status);
          return respond(plan, headers.Range);
        };
        const stream = new PassThrough();
        const taken: Buffer[] = [];
        stream.on('data', (piece) => taken.push(piece));
        const download = new ReplyDownload({
          signal: never,
          id: 'job-1',
          reply: resolved({ to: toStream ? stream : 'memory', maxBytes: 200 }),
          candidates: replyCandidates('/reply?sig=s3cret', remoteUrl, {
            hostId: undefined,
            trustedHosts: [],
            hasCredentials: false,
          }),
          fetch,
          slowLimitMs: 60_000,
        });
        for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts += 1) {
          const before = requests;
          const outcome = await download.attempt().catch(async (error) => {
            const failure = await bitsError(Promise.reject(error));
            expect(inspect(failure, { depth: 5 })).to.not.include('s3cret');
            return failure;
          });
          expect(requests - before).to.be.at.most(MAX_REQUESTS_OF_AN_ATTEMPT);
          if (!(outcome instanceof Error)) {
            successes += 1;
            const data = outcome.data ?? Buffer.concat(taken);
            expect(data.length).to.equal(outcome.bytes);
            const isWhole = versions.some((version) => version.equals(data));
            const isStart = versions.some((version) =>
              version.subarray(0, data.length).equals(data),
            );
            expect(isTotalWrong ? isStart : isWhole).to.equal(true);
            break;
          }
          if (!outcome.retryable) break;
        }
        await download.close({ keepPartial: false });
        const given = Buffer.concat(taken);
        expect(
          versions.some((version) => version.subarray(0, given.length).equals(given)),
        ).to.equal(true);
      }),
      { numRuns: 500 },
    );
    expect(successes).to.be.above(50);
  });
});
