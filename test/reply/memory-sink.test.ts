import { expect } from 'chai';
import { MemorySink } from '../../src/reply/memory-sink.js';
import { patterned, sha256 } from '../support/files.js';
import { bitsError } from '../transport/support.js';

describe('a reply in memory', () => {
  it('may be exactly as large as its limit', async () => {
    const sink = new MemorySink(10, false);
    await sink.write(patterned(10));
    const error = await bitsError(sink.write(patterned(1)));
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY_TOO_LARGE', false]);
    expect(error.message).to.include('{ to: path }').and.include('10 bytes');
    expect((await sink.finish()).bytes).to.equal(10);
  });

  it('is assembled from pieces of any size and keeps none of them', async () => {
    const sink = new MemorySink(100_000, true);
    const bytes = patterned(70_000);
    const piece = Buffer.alloc(700);
    for (let at = 0; at < bytes.byteLength; at += piece.byteLength) {
      bytes.copy(piece, 0, at);
      await sink.write(piece);
    }
    const stored = await sink.finish();
    expect(Buffer.from(stored.data!).equals(bytes)).to.equal(true);
    expect(stored.data!.buffer.byteLength).to.equal(70_000);
    expect(stored.sha256).to.equal(sha256(bytes));
  });

  it('starts over after a restart', async () => {
    const sink = new MemorySink(10, false);
    await sink.write(patterned(8, 1));
    await sink.restart();
    await sink.write(patterned(4, 2));
    expect(Buffer.from((await sink.finish()).data!).equals(patterned(4, 2))).to.equal(true);
  });
});
