import { expect } from 'chai';
import { MemorySink } from '../../src/reply/memory-sink.js';
import { patterned, sha256 } from '../support/files.js';

describe('a reply in memory', () => {
  it('is assembled from pieces of any size and keeps none of them', async () => {
    const sink = new MemorySink(true);
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
    const sink = new MemorySink(false);
    await sink.write(patterned(8, 1));
    await sink.restart();
    await sink.write(patterned(4, 2));
    expect(Buffer.from((await sink.finish()).data!).equals(patterned(4, 2))).to.equal(true);
  });
});
