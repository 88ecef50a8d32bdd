import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { Deferred } from '../../src/common/deferred.js';
import { isBitsError } from '../../src/errors.js';
import { UploadJob, type UploadResult } from '../../src/index.js';
import { parseContentRange } from '../../src/protocol/content-range.js';
import { patterned } from '../support/files.js';
import { openHandles, untilClosed } from '../support/handles.js';
import { FULL, runs, SEED } from '../support/prove-mode.js';
import { Random } from '../support/random.js';
import { answer, type RawRequest, type RawServer, startRawServer } from '../support/raw-server.js';
import { type HonestAnswer, hostileAnswer } from './hostile-answers.js';

const KIB = 1024;
/** How many hostile answers to give in all. */
const ANSWERS = runs('BITS_FUZZ_ANSWERS', 400, 20_000);
/** Uploads at a time: most of them wait for an answer that does not come. */
const CONCURRENCY = 24;
/** How often an upload that failed is resumed. */
const MOST_RUNS = 20;
/** The longest time for one upload. */
const LIMIT_MS = 120_000;
const ACK = { 'BITS-Packet-Type': 'Ack' };
const REPLY = 'the reply';

/** A server that stores correctly what comes, and answers it as `random` wants. */
class FuzzedServer {
  hostileAnswers = 0;
  /** Answers to a Close that a client may take for its acknowledgement. */
  closeAcks = 0;
  closed: string | undefined;
  readonly #content: Buffer;
  readonly #random: Random;
  readonly #hostility: number;
  /** Which bytes came, by session. */
  readonly #received = new Map<string, Uint8Array>();
  #sessions = 0;

  constructor(content: Buffer, random: Random) {
    this.#content = content;
    this.#random = random;
    this.#hostility = random.pick([0.2, 0.4, 0.7]);
  }

  holdsAllOf(session: string): boolean {
    return (
      this.#content.length === 0 || this.#received.get(session)?.every((got) => got === 1) === true
    );
  }

  readonly onRequest = (request: RawRequest): void => {
    const random = this.#random;
    const honest = this.#handle(request);
    const { socket } = request.connection;
    const type = request.headers['bits-packet-type'];
    if (!random.chance(this.#hostility)) {
      const text = answer(honest.status, honest.headers, honest.body);
      if (type === 'Close-Session' && honest.status === 200) this.closeAcks += 1;
      socket.write(text);
      return;
    }
    this.hostileAnswers += 1;
    const { pieces, ending } = hostileAnswer(honest, random);
    const bytes = Buffer.concat(pieces).toString('latin1');
    if (type === 'Close-Session' && /HTTP\/\d\.\d 2\d\d/.test(bytes) && /ack/i.test(bytes)) {
      this.closeAcks += 1;
    }
    void (async () => {
      for (const piece of pieces) {
        if (socket.destroyed) return;
        socket.write(piece);
        if (pieces.length > 1) await turn();
      }
      if (ending === 'close') socket.end();
      else if (ending === 'reset') socket.resetAndDestroy();
    })();
  };

  #handle({ method, headers, body }: RawRequest): HonestAnswer {
    if (method === 'GET') return { status: 200, headers: { ETag: '"1"' }, body: REPLY };
    const id = headers['bits-session-id'] ?? '';
    switch (headers['bits-packet-type']) {
      case 'Create-Session': {
        this.#sessions += 1;
        return {
          status: 200,
          headers: { ...ACK, 'BITS-Session-Id': `{${this.#sessions}}` },
          body: '',
        };
      }
      case 'Fragment':
        return this.#store(id, headers['content-range'] ?? '', body);
      case 'Close-Session':
        this.closed = id;
        return { status: 200, headers: ACK, body: '' };
      default:
        return { status: 200, headers: ACK, body: '' };
    }
  }

  #store(id: string, header: string, body: Buffer): HonestAnswer {
    const range = parseContentRange(header);
    expect(range?.total, 'total').to.equal(this.#content.length);
    const { start = 0, end = 0 } = range ?? {};
    expect(body.equals(this.#content.subarray(start, end)), `bytes ${start} to ${end}`).to.equal(
      true,
    );
    const received = this.#received.get(id) ?? new Uint8Array(this.#content.length);
    this.#received.set(id, received);
    const next = received.indexOf(0) === -1 ? received.length : received.indexOf(0);
    if (start > next) return { status: 416, headers: offsetAck(next), body: '' };
    received.fill(1, start, end);
    const offset = Math.max(next, end);
    const more = offset === received.length ? { 'BITS-Reply-URL': '/reply.bin' } : {};
    return { status: 200, headers: { ...offsetAck(offset), ...more }, body: '' };
  }
}

function offsetAck(offset: number): Record<string, string> {
  return { ...ACK, 'BITS-Received-Content-Range': String(offset) };
}

describe('an upload whose answers are fuzzed', () => {
  const failures: unknown[] = [];
  const note = (error: unknown): void => {
    failures.push(error);
  };

  /** Uploads once and gives the number of hostile answers. */
  async function upload(seed: number): Promise<number> {
    const random = new Random(seed);
    const content = patterned(random.pick([0, 1, 5 * KIB, 20 * KIB, 41 * KIB]), seed);
    const fuzzed = new FuzzedServer(content, random);
    const thrown: unknown[] = [];
    const server: RawServer = await startRawServer({
      onRequest: (request) => {
        try {
          fuzzed.onRequest(request);
        } catch (error) {
          thrown.push(error);
          request.connection.socket.destroy();
        }
      },
    });
    const controller = new AbortController();
    const late = new Deferred<never>();
    const timer = setTimeout(() => {
      late.reject(new Error(`The upload with seed ${seed} takes too long`));
      controller.abort();
    }, LIMIT_MS);
    const wantsReply = random.chance(0.3);
    let result: UploadResult | undefined;
    try {
      const job = new UploadJob({
        url: server.url(),
        source: content,
        fragmentBytes: 8 * KIB,
        retry: { limit: 6, minDelayMs: 0, maxDelayMs: 2, maxRetryAfterMs: 2 },
        timeouts: {
          connectMs: 1000,
          stallMs: 150,
          answerMs: 150,
          replyMs: 150,
          noProgressMs: 2000,
        },
        signal: controller.signal,
        onUncertainFragment: random.pick(['resend', 'resend', 'resend', 'restart']),
        ...(random.chance(0.3) && { auth: { credentials: { username: 'u', password: 'p' } } }),
        ...(wantsReply && { reply: { to: 'memory', optional: random.chance(0.5) } }),
      });
      for (let run = 0; run < MOST_RUNS && result === undefined; run++) {
        const outcome = run === 0 ? job.start() : job.resume();
        result = await Promise.race([outcome, late.promise]).catch((error: unknown) => {
          if (!isBitsError(error)) throw error;
          return undefined;
        });
      }
    } finally {
      clearTimeout(timer);
      await server.close();
    }
    expect(thrown, `what the server of seed ${seed} saw`).to.deep.equal([]);
    if (result !== undefined) {
      const why = `the success with seed ${seed}`;
      expect(fuzzed.closed, why).not.to.equal(undefined);
      expect(fuzzed.holdsAllOf(fuzzed.closed ?? ''), `${why}: all bytes were sent`).to.equal(true);
      if (result.closed === 'acknowledged') expect(fuzzed.closeAcks, why).to.be.at.least(1);
    }
    return fuzzed.hostileAnswers;
  }

  before(() => {
    process.on('unhandledRejection', note);
    process.on('warning', note);
  });
  after(() => {
    process.off('unhandledRejection', note);
    process.off('warning', note);
  });

  it(`ends without a false success, an uncaught error or a hang (${ANSWERS} answers, seed ${SEED})`, async function () {
    this.timeout(ANSWERS * 100 + LIMIT_MS);
    // Mocha starts its own timer at the first await.
    await Promise.resolve();
    const handles = openHandles();
    let answers = 0;
    let uploads = 0;
    await Promise.all(
      Array.from({ length: CONCURRENCY }, async () => {
        while (answers < ANSWERS) {
          const given = await upload(SEED + uploads++);
          answers += given;
        }
      }),
    );
    await untilClosed(handles);
    expect(failures).to.deep.equal([]);
    if (FULL) console.log(`      seed ${SEED}: ${uploads} uploads, ${answers} hostile answers`);
  });
});
