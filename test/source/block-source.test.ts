import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { BLOCK_BYTES, BlockSource } from '../../src/source/block-source.js';
import { PieceSizer } from '../../src/source/piece-sizer.js';
import { codeOf, collect } from './reading.js';

/** A content of which each block is one letter, and a record of what was asked of it. */
function recorded(
  blocks: number,
  options: { failAt?: () => number | undefined; sizer?: PieceSizer } = {},
) {
  const log: string[] = [];
  let loading = 0;
  const byteLength = blocks * BLOCK_BYTES;
  const source = new BlockSource(
    {
      byteLength,
      async load(start, end) {
        expect(++loading, 'loads at once').to.equal(1);
        log.push(`load ${start / BLOCK_BYTES}`);
        await new Promise(setImmediate);
        loading--;
        if (options.failAt?.() === start / BLOCK_BYTES)
          throw new BitsError('BITS_ERR_SOURCE', 'broken');
        return new Uint8Array(end - start).fill(65 + start / BLOCK_BYTES);
      },
      async verify() {
        log.push('verify');
      },
      async release() {
        expect(loading, 'loads at release').to.equal(0);
        log.push('release');
      },
    },
    // One piece a block: most of these tests are about blocks.
    options.sizer ?? new PieceSizer({ minBytes: BLOCK_BYTES, maxBytes: BLOCK_BYTES }),
  );
  return { source, log, blocks: (from: number, to: number) => source.read(at(from), at(to)) };
}

const at = (block: number) => block * BLOCK_BYTES;
/** Long enough for every load that has begun. */
const settled = async () => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

describe('BlockSource', () => {
  it('reads one block ahead, and no more, while a piece is with the consumer', async () => {
    const { blocks, log } = recorded(4);
    const pieces = blocks(0, 4);
    await pieces.next();
    await settled();
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1']);
    await pieces.next();
    await settled();
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1', 'load 2']);
  });

  it('reads ahead past the end of a read, for the one that follows', async () => {
    const { blocks, log } = recorded(4);
    await collect(blocks(0, 1));
    await settled();
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1']);
    const pieces = blocks(1, 2);
    await pieces.next();
    expect(log.filter((entry) => entry === 'load 1')).to.have.length(1);
  });

  it('reads a block once for all the small fragments in it', async () => {
    const { source, log } = recorded(1);
    for (let start = 0; start < BLOCK_BYTES; start += BLOCK_BYTES / 16)
      await collect(source.read(start, start + BLOCK_BYTES / 16));
    expect(log.filter((entry) => entry === 'load 0')).to.have.length(1);
  });

  it('reads a block once for all the pieces before it', async () => {
    const { blocks, log } = recorded(2, { sizer: new PieceSizer() });
    for await (const _piece of blocks(0, 2)) await settled();
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1']);
  });

  it('gives longer pieces to one who is quick, from one read to the next too', async () => {
    const { blocks } = recorded(3, { sizer: new PieceSizer({ now: () => 0 }) });
    const lengths: number[] = [];
    for (const block of [0, 1, 2])
      for await (const piece of blocks(block, block + 1)) lengths.push(piece.length / 1024);
    expect(lengths).to.deep.equal([64, 128, 256, 512, 1024, 2048, 64, 2048, 2048, 2048, 2048]);
  });

  it('drops what it read ahead when the next read starts elsewhere', async () => {
    const { blocks, log } = recorded(8);
    await collect(blocks(0, 1));
    await settled();
    expect((await collect(blocks(5, 6)))[0]).to.equal(65 + 5);
    await settled();
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1', 'verify', 'load 5', 'load 6']);
  });

  it('reads nothing for a read that another took the place of before it began', async () => {
    const { blocks, log } = recorded(8);
    const older = blocks(0, 1);
    const olderCode = codeOf(older.next());
    const newer = await collect(blocks(5, 6));
    expect(newer[0]).to.equal(65 + 5);
    expect(await olderCode).to.equal('BITS_ERR_STATE');
    expect(log).to.not.include('load 0');
  });

  it('verifies before each read, an empty one and one from memory too', async () => {
    const { source, log } = recorded(1);
    await collect(source.read(0, 10));
    await collect(source.read(10, 20));
    await collect(source.read(20, 20));
    expect(log.filter((entry) => entry === 'verify')).to.have.length(3);
  });

  it('leaves a piece as it is until the next is asked for', async () => {
    const { blocks } = recorded(4);
    let letter = 65;
    for await (const piece of blocks(0, 4)) {
      await settled();
      expect(piece.every((byte) => byte === letter)).to.equal(true);
      letter++;
    }
  });

  it('keeps a failure of reading ahead to the read that needs those bytes', async () => {
    let failing: number | undefined = 1;
    const { blocks } = recorded(3, { failAt: () => failing });
    expect(await collect(blocks(0, 1))).to.have.length(BLOCK_BYTES);
    await settled();
    expect(await codeOf(collect(blocks(1, 2)))).to.equal('BITS_ERR_SOURCE');
    failing = undefined;
    expect((await collect(blocks(1, 2)))[0]).to.equal(65 + 1);
  });

  it('keeps it to that read also when it fails at once', async () => {
    const source = new BlockSource({
      byteLength: 2 * BLOCK_BYTES,
      load: (start, end) => {
        if (start > 0) throw new BitsError('BITS_ERR_SOURCE', 'broken');
        return new Uint8Array(end - start);
      },
      verify: () => {},
      release: () => {},
    });
    expect(await BlockSource.readWhole(source, 0, 10)).to.have.length(10);
    expect(await collect(source.read(0, BLOCK_BYTES))).to.have.length(BLOCK_BYTES);
    expect(await codeOf(collect(source.read(BLOCK_BYTES, 2 * BLOCK_BYTES)))).to.equal(
      'BITS_ERR_SOURCE',
    );
  });

  it('ends quietly when a block that was read ahead fails and nobody asks for it', async () => {
    const { blocks, source } = recorded(3, { failAt: () => 1 });
    await collect(blocks(0, 3), 1);
    await settled();
    await source.close();
  });

  describe('asked for a range in one piece', () => {
    const KIB = 1024;

    it('loads it without a look at what it was before: loading looks', async () => {
      const { source, log } = recorded(2);
      expect((await BlockSource.readWhole(source, 0, KIB))?.byteLength).to.equal(KIB);
      expect(log.slice(0, 1)).to.deep.equal(['load 0']);
      expect(log).to.not.include('verify');
    });

    it('looks when it has it in memory', async () => {
      const { source, log } = recorded(1);
      await BlockSource.readWhole(source, 0, KIB);
      await BlockSource.readWhole(source, KIB, 2 * KIB);
      expect(log).to.deep.equal(['load 0', 'verify']);
    });

    it('has none of a range that is in two blocks', async () => {
      const { source, blocks } = recorded(3);
      await collect(blocks(0, 1));
      expect(BlockSource.readWhole(source, BLOCK_BYTES - 1, BLOCK_BYTES + 1)).to.equal(undefined);
      expect(await collect(source.read(BLOCK_BYTES - 1, BLOCK_BYTES + 1))).to.deep.equal(
        Buffer.from('AB'),
      );
    });

    it('ends a read, and is ended by the next', async () => {
      const { source, blocks } = recorded(3);
      const older = blocks(0, 3);
      await older.next();
      const whole = BlockSource.readWhole(source, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 1);
      expect(await codeOf(older.next())).to.equal('BITS_ERR_STATE');
      const newer = BlockSource.readWhole(source, 0, 1);
      expect(await codeOf(whole)).to.equal('BITS_ERR_STATE');
      expect((await newer)?.[0]).to.equal(65);
    });

    it('fails as the load does, and not for ever', async () => {
      let failing: number | undefined = 0;
      const { source } = recorded(1, { failAt: () => failing });
      expect(await codeOf(BlockSource.readWhole(source, 0, 1))).to.equal('BITS_ERR_SOURCE');
      failing = undefined;
      expect((await BlockSource.readWhole(source, 0, 1))?.[0]).to.equal(65);
    });
  });

  it('releases what it holds when the pending load is through, and only once', async () => {
    const { blocks, source, log } = recorded(3);
    await blocks(0, 3).next();
    await Promise.all([source.close(), source.close()]);
    expect(log).to.deep.equal(['verify', 'load 0', 'load 1', 'release']);
  });
});
