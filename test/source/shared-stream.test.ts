import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { Deferred } from '../../src/common/deferred.js';
import type { StreamInput } from '../../src/source/chunk-feed.js';
import type { ByteSource } from '../../src/source/source.js';
import { streamSource } from '../../src/source/stream.js';
import { useTempDir } from '../support/files.js';
import { pattern } from './contract.js';
import { collect, errorOf } from './reading.js';

const CHUNKS = 50;
const CHUNK_BYTES = 10_000;
const BYTES = pattern(CHUNKS * CHUNK_BYTES);
const chunkAt = (index: number) => BYTES.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);

/** Gives one chunk each turn of the event loop. */
function slow(): Readable {
  let index = 0;
  return new Readable({
    highWaterMark: 2 * CHUNK_BYTES,
    read() {
      setImmediate(() => this.push(index < CHUNKS ? chunkAt(index++) : null));
    },
  });
}

async function* generator(): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < CHUNKS; index++) {
    await turn();
    yield chunkAt(index);
  }
}

const webStream = () => ReadableStream.from(generator()) as ReadableStream<Uint8Array>;

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

const sinkhole = (highWaterMark = 1) =>
  new Writable({
    highWaterMark,
    write: (_chunk, _encoding, done) => void setImmediate(done),
  });

const iterate = async (stream: AsyncIterable<unknown>) => {
  for await (const _chunk of stream) await turn();
};

describe('a stream source whose stream something else reads as well', () => {
  const sources: ByteSource[] = [];
  // Before the directory goes: these hooks run in the order they are written in.
  afterEach(async () => {
    for (const source of sources.splice(0)) await source.dispose?.();
  });
  const dir = useTempDir();

  const sourceOf = (stream: StreamInput) => {
    const source = streamSource(stream, { directory: dir.path });
    sources.push(source);
    return source;
  };

  async function expectWhole(source: ByteSource): Promise<void> {
    const opened = await source.open();
    const bytes = await collect(opened.read(0, opened.byteLength));
    await opened.close();
    expect(bytes.length).to.equal(BYTES.length);
    expect(Buffer.compare(bytes, BYTES)).to.equal(0);
  }

  describe('since the same turn', () => {
    const ways: Record<string, (stream: Readable) => void> = {
      "on('data')": (stream) => stream.on('data', () => {}),
      "once('data')": (stream) => stream.once('data', () => {}),
      'pipe()': (stream) => stream.pipe(sinkhole()),
      'pipe() and unpipe()': (stream) => {
        const other = stream.pipe(sinkhole());
        setImmediate(() => stream.unpipe(other));
      },
      'resume()': (stream) => stream.resume(),
      'pause()': (stream) => stream.pause(),
      'a data listener that pauses and resumes': (stream) =>
        stream.on('data', () => {
          stream.pause();
          setImmediate(() => stream.resume());
        }),
    };

    for (const [way, read] of Object.entries(ways)) {
      it(`gets every byte beside ${way}`, async () => {
        const stream = slow();
        read(stream);
        await expectWhole(sourceOf(stream));
      });

      it(`gets every byte beside ${way}, also when it is opened later`, async () => {
        const stream = slow();
        read(stream);
        const source = sourceOf(stream);
        await turns(20);
        await expectWhole(source);
      });
    }

    it('leaves every byte to the others', async () => {
      const stream = slow();
      const piped = createHash('sha256');
      const listening = createHash('sha256');
      stream.pipe(piped);
      stream.on('data', (chunk) => listening.update(chunk));
      await expectWhole(sourceOf(stream));
      const expected = createHash('sha256').update(BYTES).digest('hex');
      expect(listening.digest('hex')).to.equal(expected);
      expect(piped.digest('hex')).to.equal(expected);
    });

    it('waits for the slowest reader instead of keeping its bytes in memory', async () => {
      const stream = slow();
      const waiting: (() => void)[] = [];
      stream.pipe(
        new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => waiting.push(done) }),
      );
      const opening = expectWhole(sourceOf(stream));
      while (waiting.length === 0) await turn();
      await turns(50);
      expect(waiting).to.have.length(1);
      while (!stream.readableEnded) {
        waiting.shift()?.();
        await turn();
      }
      await opening;
    });
  });

  describe('since before it was made', () => {
    const ways: Record<string, (stream: Readable) => unknown> = {
      "on('data')": (stream) => stream.on('data', () => {}),
      "once('data')": (stream) => stream.once('data', () => {}),
      'pipe()': (stream) => stream.pipe(sinkhole()),
      'resume()': (stream) => stream.resume(),
      'read()': async (stream) => {
        await once(stream, 'readable');
        stream.read();
      },
      'an iterator': async (stream) => {
        for await (const _chunk of stream.iterator({ destroyOnReturn: false })) break;
      },
      'an iterator that destroyed it': async (stream) => {
        for await (const _chunk of stream) break;
      },
      'toArray()': (stream) => stream.toArray(),
      'destroy()': (stream) => stream.destroy(),
      'destroy(error)': (stream) => stream.on('error', () => {}).destroy(new Error('broken')),
    };

    for (const [way, read] of Object.entries(ways))
      it(`is refused after ${way}`, async () => {
        const stream = slow();
        await read(stream);
        await turns(5);
        const error = await errorOf((async () => sourceOf(stream))());
        expect(error?.code).to.equal('BITS_ERR_ARGUMENT');
        expect(error?.message).to.include('create the upload before').and.include('new stream');
        stream.destroy();
      });

    it("is refused while something waits for 'readable'", () => {
      const stream = slow();
      stream.on('readable', () => {});
      expect(() => sourceOf(stream)).to.throw('is read by something else');
    });

    it('is refused for a flowing stream of an older package, which does not tell what was read', () => {
      const stream = slow();
      Object.defineProperty(stream, 'readableDidRead', { value: undefined });
      stream.resume();
      expect(() => sourceOf(stream)).to.throw('is read by something else');
    });

    it('is refused for a stream that has an encoding', () => {
      expect(() => sourceOf(slow().setEncoding('utf8'))).to.throw('setEncoding');
    });
  });

  describe('after it was made', () => {
    const whole: Record<string, (stream: Readable) => unknown> = {
      "on('data')": (stream) => stream.on('data', () => {}),
      "once('data')": (stream) => stream.once('data', () => {}),
      'pipe()': (stream) => stream.pipe(sinkhole()),
      'resume()': (stream) => stream.resume(),
      'pause()': (stream) => stream.pause(),
      "on('readable') and read()": (stream) => stream.on('readable', () => stream.read()),
      'an iterator': (stream) => void iterate(stream),
      'Readable.toWeb()': (stream) => void iterate(Readable.toWeb(stream)),
    };
    for (const [way, read] of Object.entries(whole))
      for (const [when, count] of [
        ['at once', 0],
        ['later', 20],
      ] as const)
        it(`gets every byte beside ${way}, opened ${when}`, async () => {
          const stream = slow();
          const source = sourceOf(stream);
          read(stream);
          await turns(count);
          await expectWhole(source);
        });

    const broken: Record<string, (stream: Readable) => unknown> = {
      'unpipe()': (stream) => stream.unpipe(),
      "removeAllListeners('data')": (stream) => stream.removeAllListeners('data'),
      'an iterator that is left early': async (stream) => {
        for await (const _chunk of stream) break;
      },
      'destroy()': (stream) => stream.destroy(),
    };
    for (const [way, breakStream] of Object.entries(broken))
      for (const when of ['before it is opened', 'while it is read'] as const)
        it(`fails after ${way} ${when}`, async () => {
          const stream = slow();
          const source = sourceOf(stream);
          if (when === 'before it is opened') {
            void breakStream(stream);
            await turns(5);
          } else {
            let chunks = 0;
            stream.on('data', () => {
              if (++chunks === 20) void breakStream(stream);
            });
          }
          const error = await errorOf(source.open());
          expect(error?.code).to.equal('BITS_ERR_SOURCE');
        });

    it('fails with the error of the stream when that comes before it is opened', async () => {
      const stream = slow();
      const source = sourceOf(stream);
      const cause = new Error('broken');
      stream.destroy(cause);
      await turns(5);
      expect((await errorOf(source.open()))?.cause).to.equal(cause);
    });

    it('is refused when the stream is given an encoding', async () => {
      const stream = slow();
      const source = sourceOf(stream);
      stream.setEncoding('latin1');
      const error = await errorOf(source.open());
      expect(error?.code).to.equal('BITS_ERR_ARGUMENT');
      expect(error?.message).to.include('strings');
    });

    it('gets every byte of a stream that is destroyed after its end', async () => {
      const stream = slow();
      stream.once('end', () => stream.destroy());
      await expectWhole(sourceOf(stream));
    });

    it('fails when something unpipes a stream that gives nothing for the time being', async () => {
      const stream = new Readable({ read() {} });
      const source = sourceOf(stream);
      const opening = errorOf(source.open());
      await once(stream, 'resume');
      stream.unpipe();
      expect((await opening)?.code).to.equal('BITS_ERR_SOURCE');
    });

    it('keeps a few chunks in memory when something resumes the stream before it is opened', async () => {
      const stream = slow();
      const source = sourceOf(stream);
      let chunks = 0;
      stream.on('data', () => chunks++);
      stream.resume();
      await turns(2 * CHUNKS);
      expect(chunks).to.be.within(1, 5);
      await expectWhole(source);
    });

    it('takes nothing from the stream before it is opened', async () => {
      const stream = slow();
      const source = sourceOf(stream);
      await turns(5);
      expect(stream.readableDidRead).to.equal(false);
      await expectWhole(source);
    });
  });

  it('is refused when another upload has the same stream', async () => {
    for (const stream of [slow(), webStream(), generator()]) {
      sourceOf(stream);
      expect(() => sourceOf(stream)).to.throw('already belongs to another upload');
    }
  });

  describe('of the web', () => {
    it('locks the stream when it is made', async () => {
      const stream = webStream();
      const source = sourceOf(stream);
      expect(() => stream.getReader()).to.throw();
      expect(() => stream.tee()).to.throw();
      await expectWhole(source);
    });

    it('is refused for a stream that is locked, or was read in part', async () => {
      const stream = webStream();
      const reader = stream.getReader();
      expect(() => sourceOf(stream)).to.throw('is locked');
      await reader.read();
      reader.releaseLock();
      expect(() => sourceOf(stream)).to.throw('was read already');
    });

    it('is refused for a stream that has branches, and gets every byte of a branch', async () => {
      const stream = webStream();
      const [mine, other] = stream.tee();
      expect(() => sourceOf(stream)).to.throw('is locked');
      void iterate(other);
      await expectWhole(sourceOf(mine));
    });

    it('is refused for a body that was read', async () => {
      const response = new Response(BYTES.slice());
      const { body } = response;
      await response.arrayBuffer();
      expect(() => sourceOf(body as unknown as StreamInput)).to.throw('is locked');
    });
  });

  describe('that is an iterator', () => {
    it('keeps others from the chunks of a generator', async () => {
      const iterator = generator();
      const source = sourceOf(iterator);
      const error = await errorOf(iterate(iterator));
      expect(error?.code).to.equal('BITS_ERR_STATE');
      await expectWhole(source);
    });

    it('is refused when it has ended already', async () => {
      const iterator = generator();
      await iterate(iterator);
      const error = await errorOf(sourceOf(iterator).open());
      expect(error?.code).to.equal('BITS_ERR_ARGUMENT');
      expect(error?.message).to.include('ended at once');
    });

    it('takes an iterable of no chunks for an empty file', async () => {
      const opened = await sourceOf({ [Symbol.asyncIterator]: noChunks }).open();
      expect(opened.byteLength).to.equal(0);
      await opened.close();
    });
  });

  describe('of an HTTP response', () => {
    /** Answers with half of the bytes, and then breaks the connection. */
    async function brokenResponse(headers: Record<string, string>) {
      const broken = new Deferred<void>();
      const server = createServer((_request, response) => {
        response.writeHead(200, headers);
        response.write(BYTES.subarray(0, BYTES.length / 2), () => response.destroy());
        response.once('close', broken.resolve);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const request = get({ port, host: '127.0.0.1', agent: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      request.on('error', () => {});
      server.close();
      return { response, broken: broken.promise };
    }

    for (const [kind, headers] of [
      ['with a length', { 'content-length': String(BYTES.length) }],
      ['in chunks', { 'transfer-encoding': 'chunked' }],
    ] as [string, Record<string, string>][])
      for (const when of ['before', 'after'])
        it(`fails when a response ${kind} breaks off ${when} it is opened`, async () => {
          const { response, broken } = await brokenResponse(headers);
          const source = sourceOf(response);
          if (when === 'before') await broken;
          expect((await errorOf(source.open()))?.code).to.equal('BITS_ERR_SOURCE');
        });
  });
});

async function* noChunks(): AsyncGenerator<Uint8Array> {}
