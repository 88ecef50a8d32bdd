import { readdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { pauseReason } from '../../src/common/abort.js';
import { Deferred } from '../../src/common/deferred.js';
import { BitsArgumentError } from '../../src/errors.js';
import type { StreamInput } from '../../src/source/chunk-feed.js';
import type { ByteSource } from '../../src/source/source.js';
import { type StreamSourceOptions, streamSource } from '../../src/source/stream.js';
import { useTempDir } from '../support/files.js';
import { NEEDS, skip } from '../support/skip.js';
import { describeContract, pattern } from './contract.js';
import { codeOf, collect, errorOf, openFileSizesUnder, openFilesUnder } from './reading.js';

const MiB = 1024 * 1024;

describe('streamSource', () => {
  // Before the directory goes: these hooks run in the order they are written in.
  afterEach('leaves no temp file behind', async () => {
    for (const one of sources.splice(0)) await one.dispose?.();
    expect(await readdir(dir.path)).to.deep.equal([]);
    expect((await openFilesUnder(dir.path)) ?? []).to.deep.equal([]);
  });
  const dir = useTempDir();
  const sources: ByteSource[] = [];
  const source = (stream: StreamInput, options: StreamSourceOptions = {}) => {
    const made = streamSource(stream, { directory: dir.path, ...options });
    sources.push(made);
    return made;
  };

  describeContract('streamSource of a Readable', {
    make: async (bytes, name) => ({ source: source(Readable.from(chunks(bytes)), { name }) }),
  });

  describeContract('streamSource of a ReadableStream', {
    make: async (bytes, name) => ({
      source: source(ReadableStream.from(chunks(bytes)) as ReadableStream<Uint8Array>, { name }),
    }),
  });

  describeContract('streamSource of an AsyncIterable', {
    make: async (bytes, name) => ({ source: source(asyncChunks(bytes), { name }) }),
  });

  it('has neither a name nor an identity by itself', async () => {
    const nameless = source(Readable.from([]));
    expect(nameless.name).to.equal(undefined);
    const opened = await nameless.open();
    expect(opened.identity).to.equal(undefined);
    await opened.close();
  });

  it('can be opened again, as for an upload that is resumed', async () => {
    const again = source(Readable.from([pattern(5000)]));
    await (await again.open()).close();
    const opened = await again.open();
    expect(Buffer.from(await collect(opened.read(0, 5000))).equals(pattern(5000))).to.equal(true);
    await opened.close();
  });

  it('cannot be opened again when it was not read to its end, or was disposed of', async () => {
    const failing = source(Readable.from(['text']));
    expect(await codeOf(failing.open())).to.equal('BITS_ERR_ARGUMENT');
    expect(await codeOf(failing.open())).to.equal('BITS_ERR_STATE');
    const disposed = source(Readable.from([pattern(1)]));
    await (await disposed.open()).close();
    await disposed.dispose?.();
    expect(await codeOf(disposed.open())).to.equal('BITS_ERR_STATE');
  });

  it('leaves no temp file when it is disposed of while it is being stored', async () => {
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        controller.enqueue(pattern(10));
        if (++pulls === 3) {
          await disposable.dispose?.();
          controller.close();
        }
      },
    });
    let pulls = 0;
    const disposable = source(stream);
    expect(await codeOf(disposable.open())).to.equal('BITS_ERR_STATE');
  });

  it('is left unread by an open whose signal has aborted, and can be opened then', async () => {
    const patient = source(Readable.from([pattern(10)]));
    expect(await codeOf(patient.open(AbortSignal.abort()))).to.equal('BITS_ERR_ABORTED');
    const opened = await patient.open();
    expect(opened.byteLength).to.equal(10);
    await opened.close();
  });

  for (const [kind, make] of [
    ['a Readable', (chunks) => Readable.from(chunks)],
    ['a ReadableStream', (chunks) => ReadableStream.from(chunks) as ReadableStream<Uint8Array>],
    ['an iterator', (chunks) => chunks],
  ] satisfies [string, (chunks: AsyncGenerator<Uint8Array>) => StreamInput][]) {
    it(`goes on storing after a pause: ${kind}`, async () => {
      const content = pattern(3 * MiB + 7);
      let isStuck = false;
      const unstuck = new Deferred<void>();
      async function* stuck() {
        for (let at = 0; at < content.length; at += 100_000) {
          if (at === 1_500_000) {
            isStuck = true;
            await unstuck.promise;
          }
          yield content.subarray(at, at + 100_000);
        }
      }
      const paused = source(make(stuck()));
      const pauses: Promise<string | undefined>[] = [];
      // At any moment, also while a chunk is being written.
      while (!isStuck) {
        const pause = new AbortController();
        const opening = codeOf(paused.open(pause.signal));
        for (let turns = pauses.length; turns > 0; turns--) await turn();
        pause.abort(pauseReason('paused'));
        pauses.push(opening);
      }
      unstuck.resolve();
      const opened = await paused.open();
      expect(new Set(await Promise.all(pauses))).to.deep.equal(new Set(['BITS_ERR_ABORTED']));
      expect(opened.byteLength).to.equal(content.length);
      const bytes = Buffer.from(await collect(opened.read(0, content.length)));
      expect(bytes.equals(content)).to.equal(true);
      await opened.close();
    });
  }

  it('is destroyed, with what is stored of it, when it is disposed of in a pause', async () => {
    const stream = new Readable({ read() {} });
    stream.push(pattern(10));
    const paused = source(stream);
    const pause = new AbortController();
    const opening = codeOf(paused.open(pause.signal, () => pause.abort(pauseReason('paused'))));
    expect(await opening).to.equal('BITS_ERR_ABORTED');
    expect(stream.destroyed).to.equal(false);
    await paused.dispose?.();
    expect(stream.destroyed).to.equal(true);
    expect(await codeOf(paused.open())).to.equal('BITS_ERR_STATE');
  });

  it('is lost when storing it fails during a pause', async () => {
    const pause = new AbortController();
    const stream = Readable.from([pattern(10), 'text']);
    const paused = source(stream);
    const code = codeOf(paused.open(pause.signal, () => pause.abort(pauseReason('paused'))));
    expect(await code).to.equal('BITS_ERR_ABORTED');
    expect(await codeOf(paused.open())).to.equal('BITS_ERR_ARGUMENT');
    expect(await codeOf(paused.open())).to.equal('BITS_ERR_STATE');
    expect(stream.destroyed).to.equal(true);
  });

  it('is read by one upload at a time', async () => {
    const shared = source(Readable.from([pattern(10)]));
    const opened = await shared.open();
    expect(await codeOf(shared.open())).to.equal('BITS_ERR_STATE');
    await shared.dispose?.();
    expect(Buffer.from(await collect(opened.read(0, 10))).equals(pattern(10))).to.equal(true);
    await opened.close();
    await (await shared.open()).close();
  });

  it('destroys a stream that was never read when it is disposed of', async () => {
    const stream = Readable.from([pattern(1)]);
    await source(stream).dispose?.();
    expect(stream.destroyed).to.equal(true);
  });

  it('asks for a chunk only when the one before is stored', async function () {
    if ((await openFilesUnder(dir.path)) === undefined) return skip(this, NEEDS.proc);
    const storedAtPull: unknown[] = [];
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          storedAtPull.push(await openFileSizesUnder(dir.path));
          if (storedAtPull.length > 3) controller.close();
          else controller.enqueue(new Uint8Array(2 * MiB));
        },
      },
      { highWaterMark: 0 },
    );
    const opened = await source(stream).open();
    expect(storedAtPull).to.deep.equal([[0], [2 * MiB], [4 * MiB], [6 * MiB]]);
    await opened.close();
  });

  describe('with a limit', () => {
    it('takes a stream of exactly that many bytes', async () => {
      const opened = await source(Readable.from(chunks(pattern(1000))), { maxBytes: 1000 }).open();
      expect(opened.byteLength).to.equal(1000);
      await opened.close();
    });

    it('refuses one byte more, names the limit and destroys the stream', async () => {
      const stream = Readable.from(chunks(pattern(1001)));
      const error = await errorOf(source(stream, { maxBytes: 1000 }).open());
      expect(error).to.be.instanceOf(BitsArgumentError);
      expect(error?.message).to.include('maxBytes').and.include('1000');
      expect(stream.destroyed).to.equal(true);
    });

    it('is aborted while a stream gives empty chunks for ever', async () => {
      async function* nothing() {
        for (;;) yield new Uint8Array(0);
      }
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      expect(await codeOf(source(nothing()).open(controller.signal))).to.equal('BITS_ERR_ABORTED');
    });

    it('names the limit as the caller does', async () => {
      const options = { maxBytes: 9, limitName: '--most' };
      const error = await errorOf(source(Readable.from(chunks(pattern(10))), options).open());
      expect(error?.message).to.include('longer than --most (9)');
    });

    it('stops an endless stream', async () => {
      let ended = false;
      async function* endless() {
        try {
          for (;;) yield new Uint8Array(64 * 1024);
        } finally {
          ended = true;
        }
      }
      const code = await codeOf(source(endless(), { maxBytes: 3 * MiB }).open());
      expect(code).to.equal('BITS_ERR_ARGUMENT');
      await turn();
      expect(ended).to.equal(true);
    });

    for (const maxBytes of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      it(`refuses a limit of ${maxBytes}`, () => {
        expect(() => source(Readable.from([]), { maxBytes })).to.throw(BitsArgumentError);
      });
  });

  describe('of a stream that fails', () => {
    const cause = new Error('disk on fire');

    it('rejects with the cause: Readable', async () => {
      const stream = new Readable({ read: () => stream.destroy(cause) });
      const error = await errorOf(source(stream).open());
      expect(error?.code).to.equal('BITS_ERR_SOURCE');
      expect(error?.cause).to.equal(cause);
      expect(error?.message).to.not.include(cause.message);
    });

    it('rejects with the cause: ReadableStream, in the middle', async () => {
      let pulls = 0;
      const stream = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (pulls++ === 0) controller.enqueue(new Uint8Array(2 * MiB));
          else controller.error(cause);
        },
      });
      const error = await errorOf(source(stream).open());
      expect(error?.code).to.equal('BITS_ERR_SOURCE');
      expect(error?.cause).to.equal(cause);
    });

    it('rejects when the stream was destroyed before its end', async () => {
      const stream = new Readable({ read: () => stream.destroy() });
      expect(await codeOf(source(stream).open())).to.equal('BITS_ERR_SOURCE');
    });

    it('keeps the failure until it is opened, instead of ending the process', async () => {
      const stream = new Readable({ read() {} });
      const waiting = source(stream);
      stream.destroy(cause);
      await turn();
      expect((await errorOf(waiting.open()))?.cause).to.equal(cause);
    });

    it('rejects with the cause also when the stream cannot even be given up', async () => {
      const broken = () => {
        throw new Error('nor be closed');
      };
      const readable = new Readable({ read: () => readable.emit('error', cause) });
      readable.destroy = broken;
      const reader = { read: async () => Promise.reject(cause), cancel: broken };
      for (const stream of [readable, { locked: false, getReader: () => reader }]) {
        expect((await errorOf(source(stream).open()))?.cause).to.equal(cause);
      }
    });

    it('is refused when asking for its chunks fails', () => {
      const stream: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => {
          throw cause;
        },
      };
      expect(() => source(stream))
        .to.throw(BitsArgumentError)
        .with.property('cause', cause);
    });

    it('destroys the stream when there is no place to store it', async () => {
      const stream = Readable.from(chunks(pattern(10)));
      const code = await codeOf(source(stream, { directory: `${dir.path}/none` }).open());
      expect(code).to.equal('BITS_ERR_ARGUMENT');
      expect(stream.destroyed).to.equal(true);
    });
  });

  describe('of something else than bytes', () => {
    for (const [title, stream, says] of [
      ['strings', () => Readable.from(['text']), 'strings'],
      ['objects', () => Readable.from([{ a: 1 }]), 'objects'],
      ['objects of a generator', () => objects() as AsyncIterable<never>, 'objects'],
    ] as const)
      it(`is refused for ${title}`, async () => {
        const error = await errorOf(source(stream() as Readable).open());
        expect(error).to.be.instanceOf(BitsArgumentError);
        expect(error?.message).to.include(says);
      });
  });

  describe('with a signal that aborts while the stream gives nothing', () => {
    it('destroys a Readable', async () => {
      const stream = new Readable({ read: () => abort.abort() });
      const abort = new AbortController();
      expect(await codeOf(source(stream).open(abort.signal))).to.equal('BITS_ERR_ABORTED');
      expect(stream.destroyed).to.equal(true);
    });

    it('cancels a ReadableStream', async () => {
      let cancelled = false;
      const abort = new AbortController();
      const stream = new ReadableStream<Uint8Array>(
        {
          pull: () => {
            abort.abort();
            return new Promise(() => {});
          },
          cancel: () => {
            cancelled = true;
          },
        },
        { highWaterMark: 0 },
      );
      const error = await errorOf(source(stream).open(abort.signal));
      expect(error?.code).to.equal('BITS_ERR_ABORTED');
      expect(error?.cause).to.equal(abort.signal.reason);
      expect(cancelled).to.equal(true);
    });

    it('returns from an iterator, without waiting for it', async () => {
      const abort = new AbortController();
      let returned = false;
      const stuck: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({
          next: () => {
            abort.abort();
            return new Promise(() => {});
          },
          return: () => {
            returned = true;
            return new Promise(() => {});
          },
        }),
      };
      expect(await codeOf(source(stuck).open(abort.signal))).to.equal('BITS_ERR_ABORTED');
      expect(returned).to.equal(true);
    });

    it('leaves no listener on the signal', async () => {
      const added: unknown[] = [];
      const { signal } = new AbortController();
      const { addEventListener, removeEventListener } = signal;
      signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
        added.push(args[1]);
        addEventListener.apply(signal, args);
      };
      signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
        added.splice(added.indexOf(args[1]), 1);
        removeEventListener.apply(signal, args);
      };
      const opened = await source(Readable.from(chunks(pattern(1000)))).open(signal);
      expect(added).to.deep.equal([]);
      await opened.close();
    });
  });

  it('can be read more than once', async () => {
    const bytes = pattern(3 * MiB);
    const opened = await source(Readable.from(chunks(bytes))).open();
    for (let i = 0; i < 2; i++)
      expect(Buffer.from(bytes).equals(await collect(opened.read(0, bytes.length)))).to.equal(true);
    await opened.close();
  });
});

/** Parts of uneven length, an empty one among them. */
function* chunks(bytes: Uint8Array): Generator<Uint8Array> {
  yield new Uint8Array(0);
  for (let start = 0; start < bytes.length; start += 99_991)
    yield bytes.subarray(start, start + 99_991);
}

async function* asyncChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* chunks(bytes);
}

async function* objects(): AsyncGenerator<object> {
  yield { a: 1 };
}
