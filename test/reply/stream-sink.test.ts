import { getEventListeners } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { WritableStream } from 'node:stream/web';
import { expect } from 'chai';
import { createReplySink } from '../../src/reply/reply-target.js';
import { StreamSink } from '../../src/reply/stream-sink.js';
import { patterned, sha256 } from '../support/files.js';
import { bitsError } from '../transport/support.js';
import { resolved } from './support.js';

const bytes = patterned(1000);

function collector(): { stream: Writable; taken: () => Buffer } {
  const pieces: Buffer[] = [];
  const stream = new Writable({
    write(piece, _encoding, done) {
      pieces.push(piece);
      done();
    },
  });
  return { stream, taken: () => Buffer.concat(pieces) };
}

describe('a reply to a stream', () => {
  it('ends the stream and waits until it has flushed', async () => {
    let flush: (() => void) | undefined;
    const stream = new Writable({
      write: (_piece, _encoding, done) => done(),
      final: (done) => {
        flush = done;
      },
    });
    const sink = new StreamSink(stream, true);
    await sink.write(bytes, undefined);
    let finished = false;
    const storing = sink.finish(undefined).then((stored) => {
      finished = true;
      return stored;
    });
    while (flush === undefined) await new Promise(setImmediate);
    expect(finished).to.equal(false);
    flush();
    expect(await storing).to.deep.equal({ bytes: 1000, sha256: sha256(bytes) });
  });

  it('waits until the stream has taken a piece before the next one', async () => {
    let done: (() => void) | undefined;
    const stream = new Writable({
      write(_piece, _encoding, callback) {
        done = callback;
      },
    });
    const sink = new StreamSink(stream, false);
    let welcome = false;
    const writing = sink.write(bytes, undefined).then(() => {
      welcome = true;
    });
    await new Promise(setImmediate);
    expect(welcome).to.equal(false);
    done?.();
    await writing;
    stream.destroy();
  });

  it('stops while it waits for a stalled stream and loses no byte', async () => {
    const stream = new PassThrough({ highWaterMark: 10 });
    const sink = new StreamSink(stream, false);
    await sink.write(bytes.subarray(0, 1), undefined);
    const stop = new AbortController();
    const writing = sink.write(bytes.subarray(1, 500), stop.signal);
    stop.abort();
    expect((await bitsError(writing)).code).to.equal('BITS_ERR_ABORTED');
    expect((await bitsError(sink.write(bytes, stop.signal))).code).to.equal('BITS_ERR_ABORTED');
    expect(sink.keptBytes).to.equal(500);
    const read = (async () => {
      const pieces: Buffer[] = [];
      for await (const piece of stream) pieces.push(piece);
      return Buffer.concat(pieces);
    })();
    await sink.write(bytes.subarray(500), undefined);
    await sink.finish(undefined);
    expect(await read).to.deep.equal(bytes);
  });

  it('leaves out what the stream has when the download starts over', async () => {
    const { stream, taken } = collector();
    const sink = new StreamSink(stream, true);
    await sink.write(bytes.subarray(0, 600), undefined);
    await sink.restart();
    await sink.write(bytes.subarray(0, 100), undefined);
    await sink.restart();
    expect(sink.keptBytes).to.equal(0);
    for (let at = 0; at < 1000; at += 250) {
      await sink.write(bytes.subarray(at, at + 250), undefined);
    }
    const stored = await sink.finish(undefined);
    expect(taken()).to.deep.equal(bytes);
    expect(stored.sha256).to.equal(sha256(bytes));
  });

  it('fails when the reply changed and never mixes two versions', async () => {
    const { stream, taken } = collector();
    const sink = new StreamSink(stream, false);
    await sink.write(bytes.subarray(0, 600), undefined);
    await sink.restart();
    const other = patterned(1000, 2);
    const error = await bitsError(sink.write(other, undefined));
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    expect(error.message).to.include('600 bytes');
    expect(taken()).to.deep.equal(bytes.subarray(0, 600));
    expect(stream.destroyed || stream.writableEnded).to.equal(false);

    await sink.write(other.subarray(0, 10), undefined);
    expect((await bitsError(sink.finish(undefined))).message).to.include('changed');
  });

  it('fails when the stream fails, also between two writes', async () => {
    const cause = new Error('no space');
    const failing = new Writable({ write: (_piece, _encoding, done) => done(cause) });
    const during = await bitsError(new StreamSink(failing, false).write(bytes, undefined));
    expect([during.code, during.cause]).to.deep.equal(['BITS_ERR_REPLY', cause]);

    const { stream } = collector();
    const sink = new StreamSink(stream, false);
    await sink.write(bytes, undefined);
    stream.destroy(cause);
    await new Promise((resolve) => stream.on('close', resolve));
    expect((await bitsError(sink.write(bytes, undefined))).cause).to.equal(cause);
  });

  it('fails when the stream is destroyed during a write', async () => {
    const stream = new Writable({ write() {} });
    const sink = new StreamSink(stream, false);
    const writing = bitsError(sink.write(bytes, undefined));
    stream.destroy();
    expect((await writing).code).to.equal('BITS_ERR_REPLY');
  });

  it('listens for errors of the stream until it is closed', async () => {
    const { stream } = collector();
    const sink = new StreamSink(stream, false);
    await sink.close();
    expect(stream.listenerCount('error')).to.equal(0);
    await sink.open(0);
    await sink.open(0);
    expect(stream.listenerCount('error')).to.equal(1);
  });

  it('hears the error of a stream that tells it only when it has let go of its file', async () => {
    const cause = new Error('no space');
    let letGo: (() => void) | undefined;
    const stream = new Writable({
      write: (_piece, _encoding, done) => done(cause),
      destroy: (error, done) => {
        letGo = () => done(error);
      },
    });
    const sink = new StreamSink(stream, false);
    expect((await bitsError(sink.write(bytes, undefined))).code).to.equal('BITS_ERR_REPLY');
    await sink.close();
    const closed = new Promise((resolve) => stream.on('close', resolve));
    letGo?.();
    await closed;
    expect(stream.errored).to.equal(cause);
  });

  it('leaves no listener after a write', async () => {
    const { stream } = collector();
    const { signal } = new AbortController();
    const sink = new StreamSink(stream, false);
    for (let at = 0; at < 1000; at += 100) await sink.write(bytes.subarray(at, at + 100), signal);
    expect(getEventListeners(signal, 'abort')).to.have.length(0);
    expect([stream.listenerCount('close'), stream.listenerCount('error')]).to.deep.equal([0, 1]);
  });

  it('keeps no more than it is asked to', async () => {
    const sink = new StreamSink(collector().stream, false);
    await sink.write(bytes, undefined);
    await sink.open(1000);
    expect(sink.keptBytes).to.equal(1000);
    await sink.open(999);
    expect(sink.keptBytes).to.equal(0);
  });

  it('does not end standard output', async () => {
    const sink = new StreamSink(process.stdout, false);
    expect((await sink.finish(undefined)).bytes).to.equal(0);
    expect(process.stdout.writableEnded).to.equal(false);
    await sink.close();
  });

  it('can be stopped while the stream is flushed and resumed', async () => {
    let flush: (() => void) | undefined;
    const stream = new Writable({
      write: (_piece, _encoding, done) => done(),
      final: (done) => {
        flush = done;
      },
    });
    const sink = new StreamSink(stream, false);
    await sink.write(bytes, undefined);
    const stop = new AbortController();
    const storing = bitsError(sink.finish(stop.signal));
    while (flush === undefined) await new Promise(setImmediate);
    stop.abort();
    expect((await storing).code).to.equal('BITS_ERR_ABORTED');
    flush();
    expect((await sink.finish(undefined)).bytes).to.equal(1000);
  });

  it('may go to a stream of the web', async () => {
    const pieces: Uint8Array[] = [];
    let closed = false;
    const stream = new WritableStream<Uint8Array>({
      write: (piece) => void pieces.push(piece),
      close: () => {
        closed = true;
      },
    });
    const sink = createReplySink(resolved({ to: stream }), 'job-1');
    await sink.write(bytes, undefined);
    await sink.finish(undefined);
    expect(Buffer.concat(pieces)).to.deep.equal(bytes);
    expect(closed).to.equal(true);
  });
});
