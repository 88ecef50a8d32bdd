import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { bytesSource } from '../../src/source/bytes.js';
import { fileSource } from '../../src/source/file.js';
import type { ByteSource, OpenSource } from '../../src/source/source.js';
import { type BitsServer, createBitsServer } from '../../src/testing/bits-server.js';
import type { Transport } from '../../src/transport/transport.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { errorOf } from '../source/reading.js';
import { patterned, temporaryFolder } from '../support/files.js';
import { gate } from '../transport/support.js';

describe('a source of the caller', () => {
  let server: BitsServer;
  before(async () => {
    server = await createBitsServer();
  });
  after(() => server.close());

  /** 1000 bytes, and what differs. */
  function own(parts: Partial<OpenSource> = {}): ByteSource {
    return {
      name: 'own.bin',
      open: async () => ({
        byteLength: 1000,
        async *read(start, end) {
          yield new Uint8Array(end - start);
        },
        verify: async () => {},
        close: async () => {},
        ...parts,
      }),
    };
  }

  const uploadOf = (source: ByteSource, options: Partial<UploadOptions> = {}) =>
    new UploadJob({ url: new URL(`${randomUUID()}.bin`, server.url), source, ...options });

  const failing = (): never => {
    throw new Error('disk on fire');
  };

  describe('that is made from one of this package', () => {
    const folder = temporaryFolder();
    const flipped = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte) => byte ^ 1);
    async function* flippedPieces(pieces: AsyncIterable<Uint8Array>) {
      for await (const piece of pieces) yield flipped(piece);
    }
    const withRead = (inner: OpenSource): OpenSource => ({
      byteLength: inner.byteLength,
      read: (start, end) => flippedPieces(inner.read(start, end)),
      verify: () => inner.verify(),
      close: () => inner.close(),
    });

    const ways: Record<string, (inner: ByteSource) => ByteSource> = {
      'spread, with an open of its own': (inner) => ({
        ...inner,
        open: async (signal) => withRead(await inner.open(signal)),
      }),
      'whose open is replaced': (inner) => {
        const { open } = inner;
        return Object.assign(inner, {
          open: async (signal?: AbortSignal) => withRead(await open(signal)),
        });
      },
      'inherited from': (inner) =>
        Object.assign(Object.create(inner), {
          open: async (signal?: AbortSignal) => withRead(await inner.open(signal)),
        }),
      'whose read is replaced': (inner) => ({
        name: inner.name,
        open: async (signal) => {
          const opened = await inner.open(signal);
          const read = opened.read.bind(opened);
          opened.read = (start, end) => flippedPieces(read(start, end));
          return opened;
        },
      }),
      'behind a proxy': (inner) => ({
        name: inner.name,
        open: async (signal) => {
          const opened = await inner.open(signal);
          return new Proxy(opened, {
            get: (_target, key) => {
              if (key === 'read') return withRead(opened).read;
              const value = opened[key as keyof OpenSource];
              return typeof value === 'function' ? value.bind(opened) : value;
            },
          });
        },
      }),
    };

    for (const [way, wrap] of Object.entries(ways)) {
      for (const kind of ['bytes', 'a file'] as const) {
        it(`is used as it is: ${kind}, ${way}`, async () => {
          const content = patterned(1000);
          const path = join(folder(), 'content.bin');
          await writeFile(path, content);
          // Time and again: a file of a directory that is known to answer fast may open at once.
          for (let i = 0; i < 3; i++) {
            const inner = kind === 'bytes' ? bytesSource(content) : fileSource(path);
            const name = `${randomUUID()}.bin`;
            await new UploadJob({ url: new URL(name, server.url), source: wrap(inner) }).start();
            const arrived = await readFile(join(server.root, name));
            expect(arrived).to.deep.equal(Buffer.from(flipped(content)));
          }
        });
      }
    }
  });

  it('may be sent by a transport that changes its pieces on the way', async () => {
    const inner = createUndiciTransport();
    const transport: Transport = {
      limitations: [],
      close: () => inner.close(),
      send: (request, options) => {
        const { body } = request;
        if (body === undefined) return inner.send(request, options);
        const pieces = async function* () {
          for await (const piece of body.pieces()) yield new Uint8Array(piece.byteLength).fill(7);
        };
        return inner.send({ ...request, body: { ...body, pieces } }, options);
      },
    };
    const name = `${randomUUID()}.bin`;
    const source = new Uint8Array(1000);
    await new UploadJob({ url: new URL(name, server.url), source, transport }).start();
    await transport.close();
    expect(await readFile(join(server.root, name))).to.deep.equal(Buffer.alloc(1000, 7));
  });

  for (const [what, read] of [
    ['read', failing],
    ['the iterator', () => ({ [Symbol.asyncIterator]: failing })],
    ['next', () => ({ [Symbol.asyncIterator]: () => ({ next: failing }) })],
    [
      'what next returns',
      () => ({ [Symbol.asyncIterator]: () => ({ next: async () => failing() }) }),
    ],
  ] as const) {
    it(`is told to have failed, and not the network, when ${what} fails`, async () => {
      const error = await errorOf(uploadOf(own({ read })).start());
      expect(error).to.include({ code: 'BITS_ERR_SOURCE', retryable: false });
      expect(error?.message).to.include('reading the source failed').and.include('disk on fire');
    });
  }

  for (const [what, source] of [
    ['open throws', { name: 'x', open: failing }],
    ['open rejects', { name: 'x', open: async () => failing() }],
    ['verify throws', own({ verify: failing })],
    ['verify rejects', own({ verify: async () => failing() })],
  ] as const) {
    it(`is told to have failed, and not the network, when ${what}`, async () => {
      const error = await errorOf(uploadOf(source).start());
      expect(error).to.include({ code: 'BITS_ERR_SOURCE' });
      expect(error?.message).to.include('the source failed').and.include('disk on fire');
    });
  }

  it('is told to have failed when it gives something else than bytes', async () => {
    const read = async function* () {
      yield new ArrayBuffer(1000) as unknown as Uint8Array;
    };
    const error = await errorOf(uploadOf(own({ read })).start());
    expect(error).to.include({ code: 'BITS_ERR_SOURCE' });
    expect(error?.message).to.include('not a Uint8Array');
  });

  for (const byteLength of [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, null, '10', 10n]) {
    it(`is refused with a length of ${String(byteLength)} (${typeof byteLength})`, async () => {
      const before = server.log.length;
      const error = await errorOf(uploadOf(own({ byteLength: byteLength as number })).start());
      expect(error).to.include({ code: 'BITS_ERR_ARGUMENT' });
      expect(server.log.length).to.equal(before);
    });
  }

  it('that has another length when the job resumes ends it, and frees the session', async () => {
    let byteLength = 100_000;
    let isAway = true;
    const source: ByteSource = {
      name: 'own.bin',
      open: () =>
        own({
          byteLength,
          async *read(start, end) {
            if (start > 0 && isAway) failing();
            yield new Uint8Array(end - start);
          },
        }).open(),
    };
    const job = uploadOf(source, { fragmentBytes: 50_000 });
    expect(await errorOf(job.start())).to.include({ code: 'BITS_ERR_SOURCE' });
    byteLength = 200_000;
    isAway = false;
    const error = await errorOf(job.resume());
    expect(error).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(error?.message).to.include('200000 bytes now').and.include('100000');
    expect(job.state).to.equal('failed');
    expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
  });

  it('leaves a stream to the caller when another option is refused', async () => {
    const stream = Readable.from([new Uint8Array(1000)]);
    const wrong = { maxRestarts: -1, name: 'x' };
    expect(() => uploadOf(stream as never, wrong)).to.throw('maxRestarts');
    expect(await uploadOf(stream as never).start()).to.include({ bytes: 1000 });
  });

  it('is refused when it opens nothing', async () => {
    const source = { name: 'x', open: async () => null as unknown as OpenSource };
    expect(await errorOf(uploadOf(source).start())).to.include({ code: 'BITS_ERR_ARGUMENT' });
  });

  it('is refused with a name that is no text', () => {
    expect(() => uploadOf({ ...own(), name: 5 as unknown as string })).to.throw('must be a string');
  });

  it('that cannot be closed leaves the upload a success, with a warning', async () => {
    const job = uploadOf(own({ close: failing }));
    const warnings: string[] = [];
    job.on('warning', ({ code }) => warnings.push(code));
    expect(await job.start()).to.include({ bytes: 1000, closed: 'acknowledged' });
    expect(warnings).to.deep.equal(['source-not-closed']);
    expect(job.state).to.equal('completed');
  });

  it('that fails to close when nobody waits for that any more gives the warning all the same', async () => {
    const closing = gate<never>();
    const job = uploadOf(own({ close: () => closing.promise.then(failing) }));
    const warned = once(job, 'warning');
    expect(await job.start()).to.include({ bytes: 1000 });
    closing.open(undefined as never);
    expect((await warned)[0]).to.include({ code: 'source-not-closed' });
  });

  it('may check itself at once instead of in time', async () => {
    const verify = (() => {}) as unknown as () => Promise<void>;
    expect(await uploadOf(own({ verify })).start()).to.include({ bytes: 1000 });
  });

  it('may throw whatever it likes: the next job over the connection does not notice', async () => {
    const odd = Object.defineProperty(new Error('odd'), 'code', { get: failing });
    await uploadOf(own()).start();
    for (const thrown of [odd, null, Symbol('odd'), Object.create(null)]) {
      const read = async function* () {
        yield new Uint8Array(10);
        // When the request is on its way.
        await new Promise((resolve) => setImmediate(resolve));
        throw thrown;
      };
      const odder = own({ byteLength: 300_000, read });
      expect(await errorOf(uploadOf(odder).start())).to.include({
        code: 'BITS_ERR_SOURCE',
      });
      expect(await uploadOf(own()).start()).to.include({ bytes: 1000 });
    }
  });

  it('that never closes holds nothing back', async () => {
    const job = uploadOf(own({ close: () => new Promise(() => {}) }));
    expect(await job.start()).to.include({ bytes: 1000 });
  });

  for (const [what, source] of [
    ['opens', { name: 'x', open: () => new Promise<OpenSource>(() => {}) }],
    ['verifies', own({ verify: () => new Promise(() => {}) })],
    [
      'gives a byte',
      own({
        async *read() {
          for (;;) yield new Uint8Array(0);
        },
      }),
    ],
    [
      'reads',
      own({
        read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
      }),
    ],
    [
      'ends after its last byte',
      own({
        async *read(start, end) {
          yield new Uint8Array(end - start);
          await new Promise(() => {});
        },
      }),
    ],
  ] as const) {
    it(`that never ${what} does not keep the job from being aborted`, async () => {
      const controller = new AbortController();
      const job = uploadOf(source, { signal: controller.signal });
      const result = errorOf(job.start());
      // It hangs after as many packets as can go out without it.
      setTimeout(() => controller.abort(), 50);
      expect(await result).to.include({ code: 'BITS_ERR_ABORTED' });
    });
  }

  it('that opens only after the abort is closed', async () => {
    const controller = new AbortController();
    const asked = gate();
    const opening = gate<OpenSource>();
    const closed = gate();
    const open = () => {
      asked.open();
      return opening.promise;
    };
    const result = errorOf(uploadOf({ name: 'x', open }, { signal: controller.signal }).start());
    await asked.promise;
    controller.abort();
    expect(await result).to.include({ code: 'BITS_ERR_ABORTED' });
    opening.open(await own({ close: async () => closed.open() }).open());
    await closed.promise;
  });
});
