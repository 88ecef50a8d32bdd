import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { MAX_WINDOW_BYTES, sizedStreamSource } from '../../src/source/sized-stream.js';
import { toByteSource } from '../../src/source/to-source.js';
import { createMemoryStore } from '../../src/store/memory.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { patterned } from '../support/files.js';
import { bitsError } from '../transport/support.js';

const KIB = 1024;

/** The content in chunks of one reused buffer, as a caller may give them. */
async function* reusing(content: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes);
  for (let from = 0; from < content.byteLength; from += chunkBytes) {
    const part = content.subarray(from, from + chunkBytes);
    buffer.set(part);
    yield buffer.subarray(0, part.byteLength);
    buffer.fill(0);
  }
}

async function readAll(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(Buffer.from(piece));
  return Buffer.concat(all);
}

describe('a stream of known length', () => {
  const content = patterned(1000 * KIB, 3);

  it('gives ranges of it, and each of them again until a later one is asked for', async () => {
    const stream = reusing(content, 7001);
    const source = await sizedStreamSource({ stream, byteLength: content.length }).open();
    for (const [start, end] of [
      [0, 300 * KIB],
      [0, 300 * KIB],
      [300 * KIB, 700 * KIB],
      [700 * KIB - 8 * KIB, 700 * KIB - 1],
      [700 * KIB, 1000 * KIB],
    ] as const) {
      expect(await readAll(source.read(start, end))).to.deep.equal(content.subarray(start, end));
    }
    await source.verify();
  });

  it('gives a range that was given up in the middle', async () => {
    const stream = reusing(content, 1000);
    const source = await sizedStreamSource({ stream, byteLength: content.length }).open();
    for await (const piece of source.read(0, 500 * KIB)) if (piece.byteLength > 0) break;
    const pending = source.read(1000, 500 * KIB)[Symbol.asyncIterator]();
    void pending.next();
    expect(await readAll(source.read(0, content.length))).to.deep.equal(content);
  });

  it('gives the bytes of a position to which a server has skipped before they were read', async () => {
    for (const [start, end] of [
      [800 * KIB, 900 * KIB],
      [990 * KIB, 1000 * KIB],
    ] as const) {
      const chunks = reusing(content, 7001);
      // With a turn for each chunk, also after the last: a loop of microtasks stops no test.
      const next = () => new Promise(setImmediate).then(() => chunks.next());
      const stream = { [Symbol.asyncIterator]: () => ({ next }) };
      const source = await sizedStreamSource({ stream, byteLength: content.length }).open();
      for await (const piece of source.read(0, start)) if (piece.byteLength > 0) break;
      const read = await readAll(source.read(start, end));
      expect(read).to.deep.equal(content.subarray(start, end));
    }
  });

  it('keeps no more than a window, however long it is', async () => {
    const chunk = patterned(64 * KIB);
    const byteLength = 256 * 1024 * KIB;
    async function* long() {
      for (let at = 0; at < byteLength; at += chunk.length) yield chunk;
    }
    const source = await sizedStreamSource({ stream: long(), byteLength }).open();
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let at = 0; at < byteLength; at += MAX_WINDOW_BYTES) {
      for await (const piece of source.read(at, at + MAX_WINDOW_BYTES)) void piece;
      collectGarbage();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    expect(source.maxRangeBytes).to.equal(MAX_WINDOW_BYTES);
    expect(most).to.be.below(3 * MAX_WINDOW_BYTES);
  });

  for (const [what, stream] of [
    ['a Readable', () => Readable.from([content.subarray(0, 5000), content.subarray(5000)])],
    ['a web stream', () => Readable.toWeb(Readable.from([content]))],
    ['an async iterable', () => reusing(content, 999)],
    ['one chunk', () => Readable.from([content])],
  ] as const) {
    it(`is recognised as a source when it is ${what}`, async () => {
      const byteLength = content.length;
      const input = { stream: stream() as Readable, byteLength };
      const source = toByteSource(input, { name: 'n' });
      expect(source.name).to.equal('n');
      const opened = await source.open();
      expect(await readAll(opened.read(0, byteLength))).to.deep.equal(content);
    });
  }

  for (const byteLength of [-1, 1.5, Number.NaN, '5']) {
    it(`is refused with the length ${byteLength}`, () => {
      const stream = Readable.from([content]);
      expect(() => toByteSource({ stream, byteLength: byteLength as number }))
        .to.throw(BitsError)
        .with.property('code', 'BITS_ERR_ARGUMENT');
      stream.destroy();
    });
  }
});

describe('an upload of a stream of known length', () => {
  const content = patterned(300 * KIB, 5);
  let server: BitsServer;

  async function serve(options: BitsServerOptions = {}): Promise<void> {
    server = await createBitsServer(options);
  }

  function job(stream: UploadOptions['source'], options: Partial<UploadOptions> = {}): UploadJob {
    return new UploadJob({
      url: `${server.url}streamed`,
      source: { stream, byteLength: content.length } as UploadOptions['source'],
      fragmentBytes: 50 * KIB,
      ...options,
      retry: { minDelayMs: 0, ...options.retry },
    });
  }

  const uploaded = () => readFile(join(server.root, 'streamed'));
  const kinds = () => server.log.map(({ packet }) => packet);

  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  it('sends what it has before the stream has more', async () => {
    await serve();
    const stream = new PassThrough();
    const ended = job(stream).start();
    stream.write(content.subarray(0, 120 * KIB));
    await server.waitForRequest('fragment', 2);
    stream.end(content.subarray(120 * KIB));
    expect(await ended).to.include({ bytes: content.length, bytesSent: content.length });
    expect(await uploaded()).to.deep.equal(content);
  });

  it('passes an upload through from an HTTP request', async () => {
    await serve();
    const route = createServer((incoming, answer) => {
      const byteLength = Number(incoming.headers['content-length']);
      new UploadJob({ url: `${server.url}streamed`, source: { stream: incoming, byteLength } })
        .start()
        .then(
          ({ bytes }) => answer.end(String(bytes)),
          (error) => answer.destroy(error),
        );
    }).listen(0, '127.0.0.1');
    await once(route, 'listening');
    const { port } = route.address() as AddressInfo;
    const outgoing = request({
      port,
      method: 'PUT',
      headers: { 'content-length': content.length },
    });
    outgoing.end(content);
    const [answer] = await once(outgoing, 'response');
    expect((await readAll(answer)).toString()).to.equal(String(content.length));
    expect(await uploaded()).to.deep.equal(content);
    route.close();
  });

  for (const fault of ['reset-mid', 'reset-after-commit', 'reset-before'] as const) {
    it(`is exact after ${fault} of a fragment`, async () => {
      await serve({
        faults: [
          { on: 'fragment', nth: 2, do: fault },
          { on: 'fragment', nth: 5, do: fault },
        ],
      });
      await job(reusing(content, 3333)).start();
      expect(await uploaded()).to.deep.equal(content);
    });
  }

  it('reads a fragment again after a redirect in the middle', async () => {
    await serve();
    server.addFault({ on: 'fragment', nth: 2, do: { redirect: `${server.url}streamed` } });
    await job(reusing(content, 4000)).start();
    expect(await uploaded()).to.deep.equal(content);
  });

  it('is exact after a suspension in the middle of a fragment', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
    const upload = job(reusing(content, 3333));
    const ended = upload.start();
    await server.waitForRequest('fragment', 3);
    await upload.suspend();
    await upload.resume();
    await ended;
    expect(await uploaded()).to.deep.equal(content);
  });

  for (const [what, bytes, message] of [
    ['ends early', content.subarray(0, -1), /ended after 307199 of the 307200 bytes/],
    ['is longer', Buffer.concat([content, Buffer.alloc(1)]), /more than the 307200 bytes/],
  ] as const) {
    it(`fails and cancels the session when the stream ${what}`, async () => {
      await serve();
      const upload = job(reusing(bytes, 1024));
      const error = await bitsError(upload.start());
      expect(error).to.include({ code: 'BITS_ERR_SOURCE' });
      expect(error.message).to.match(message);
      expect(upload.state).to.equal('failed');
      expect(kinds().at(-1)).to.equal('cancel-session');
      expect(kinds()).to.not.include('close-session');
    });
  }

  it('fails when an empty stream is not empty', async () => {
    await serve();
    const source = { stream: Readable.from([Buffer.alloc(1)]), byteLength: 0 };
    const error = await bitsError(new UploadJob({ url: `${server.url}empty`, source }).start());
    expect(error).to.include({ code: 'BITS_ERR_SOURCE' });
    expect(kinds()).to.deep.equal(['create-session', 'cancel-session']);
  });

  it('fails when the stream fails, and frees the session', async () => {
    await serve();
    const reason = new Error('the disk is gone');
    async function* failing() {
      yield content.subarray(0, 60 * KIB);
      throw reason;
    }
    const error = await bitsError(job(failing()).start());
    expect(error).to.include({ code: 'BITS_ERR_SOURCE', cause: reason });
    expect(kinds().at(-1)).to.equal('cancel-session');
  });

  it('fails, and puts no wrong file in place, when the server has lost the session', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 5, do: 'session-gone' }] });
    const big = patterned(3000 * KIB, 6);
    const stream = reusing(big, 3333);
    const upload = job(stream, {
      source: { stream, byteLength: big.length },
      fragmentBytes: 500 * KIB,
    });
    const error = await bitsError(upload.start());
    expect(error).to.include({ code: 'BITS_ERR_SOURCE' });
    expect(error.message).to.match(/lost its session/);
    expect(upload.state).to.equal('failed');
    expect(kinds().at(-1)).to.equal('cancel-session');
    expect(await uploaded().catch(({ code }) => code)).to.equal('ENOENT');
  });

  it('starts over by itself as long as the beginning is still there', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 1, do: 'session-gone' }] });
    await job(reusing(content, 3333)).start();
    expect(await uploaded()).to.deep.equal(content);
  });

  it('sends no fragment that is longer than the window', async () => {
    await serve();
    const big = patterned(9 * KIB * KIB, 6);
    const stream = Readable.from([big]);
    await job(stream, {
      source: { stream, byteLength: big.length },
      fragmentBytes: 100 * KIB * KIB,
    }).start();
    const sizes = server.log.filter(({ packet }) => packet === 'fragment').length;
    expect(sizes).to.equal(2);
    expect(await uploaded()).to.deep.equal(big);
  });

  it('is not recorded, so that no other process can restore it', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 503 } }] });
    const store = createMemoryStore();
    const upload = job(reusing(content, 3333), { store, retry: { limit: 0 } });
    await bitsError(upload.start());
    expect(upload).to.include({ state: 'error', recorded: false });
    expect(await bitsError(UploadJob.restore(store, upload.id))).to.include({
      code: 'BITS_ERR_STATE',
    });
    await upload.resume();
    expect(await uploaded()).to.deep.equal(content);
  });

  it('destroys the stream when the job is cancelled', async () => {
    await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
    const stream = new PassThrough();
    stream.write(content);
    const upload = job(stream);
    void upload.start().catch(() => {});
    await server.waitForRequest('fragment');
    await upload.cancel();
    expect(stream.destroyed).to.equal(true);
  });
});
