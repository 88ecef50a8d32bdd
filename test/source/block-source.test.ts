import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { BLOCK_BYTES, BlockSource } from '../../src/source/block-source.js';
import { codeOf, collect } from './reading.js';

/** A content of which each block is one letter, and a record of what was asked of it. */
function recorded(
  blocks: number,
  options: {
    failAt?: () => number | undefined;
    isChanged?: () => boolean;
  } = {},
) {
  const log: string[] = [];
  let loading = 0;
  const byteLength = blocks * BLOCK_BYTES;
  const source = new BlockSource({
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
      if (options.isChanged?.()) throw new BitsError('BITS_ERR_SOURCE_CHANGED', 'changed');
    },
    async release() {
      expect(loading, 'loads at release').to.equal(0);
      log.push('release');
    },
  });
  return { source, log, blocks: (from: number, to: number) => source.read(at(from), at(to)) };
}

const at = (block: number) => block * BLOCK_BYTES;
/** Long enough for every load that has begun. */
const settled = async () => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

describe('BlockSource', () => {
  it('reads one block ahead, and no more, while the consumer has a piece', async () => {
    const { blocks, log } = recorded(4);
    const pieces = blocks(0, 4);
    await pieces.next();
    await settled();
    expect(log).to.deep.equal(['load 0', 'load 1']);
    await pieces.next();
    await settled();
    expect(log).to.deep.equal(['load 0', 'load 1', 'load 2']);
  });

  it('reads ahead past the end of a read, for the one that follows', async () => {
    const { blocks, log } = recorded(4);
    await collect(blocks(0, 1));
    await settled();
    expect(log.filter((entry) => entry !== 'verify')).to.deep.equal(['load 0', 'load 1']);
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

  it('drops what it read ahead when the next read starts elsewhere', async () => {
    const { blocks, log } = recorded(8);
    await collect(blocks(0, 1));
    await settled();
    expect((await collect(blocks(5, 6)))[0]).to.equal(65 + 5);
    await settled();
    const loads = log.filter((entry) => entry !== 'verify');
    expect(loads).to.deep.equal(['load 0', 'load 1', 'load 5', 'load 6']);
  });

  it('reads the right bytes while the load of a read that was replaced is pending', async () => {
    const { blocks } = recorded(8);
    const older = codeOf(blocks(0, 1).next());
    expect((await collect(blocks(5, 6)))[0]).to.equal(65 + 5);
    expect(await older).to.equal('BITS_ERR_STATE');
  });

  it('verifies once a read, an empty one and one from memory too', async () => {
    const { source, log } = recorded(3);
    const reads = [
      [0, 10],
      [10, 20],
      [20, 20],
      [20, 3 * BLOCK_BYTES],
    ] as const;
    for (const [start, end] of reads) await collect(source.read(start, end));
    expect(log.filter((entry) => entry === 'verify')).to.have.length(reads.length);
  });

  it('verifies after the last load of a read, and before it gives the last piece', async () => {
    let isChanged = false;
    const { blocks, log } = recorded(4, { isChanged: () => isChanged });
    const pieces = blocks(0, 3);
    await pieces.next();
    isChanged = true;
    expect((await pieces.next()).done).to.equal(false);
    expect(log).to.not.include('verify');
    expect(await codeOf(pieces.next())).to.equal('BITS_ERR_SOURCE_CHANGED');
    expect(log.indexOf('verify')).to.be.above(log.indexOf('load 2'));
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

  it('keeps a failure of reading ahead for the read that needs those bytes', async () => {
    let failing: number | undefined = 1;
    const { blocks } = recorded(3, { failAt: () => failing });
    expect(await collect(blocks(0, 1))).to.have.length(BLOCK_BYTES);
    await settled();
    expect(await codeOf(collect(blocks(1, 2)))).to.equal('BITS_ERR_SOURCE');
    failing = undefined;
    expect((await collect(blocks(1, 2)))[0]).to.equal(65 + 1);
  });

  it('ignores a failure of reading ahead when nobody needs those bytes', async () => {
    const { blocks, source } = recorded(3, { failAt: () => 1 });
    await collect(blocks(0, 3), 1);
    await settled();
    await source.close();
  });

  it('releases its parts after the pending load, and only once', async () => {
    const { blocks, source, log } = recorded(3);
    await blocks(0, 3).next();
    await Promise.all([source.close(), source.close()]);
    expect(log).to.deep.equal(['load 0', 'load 1', 'release']);
  });
});
