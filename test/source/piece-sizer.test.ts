import { expect } from 'chai';
import fc from 'fast-check';
import { PieceSizer } from '../../src/source/piece-sizer.js';

const KiB = 1024;

function sizerWithClock() {
  let nowMs = 0;
  const sizer = new PieceSizer({ now: () => nowMs });
  return {
    sizer,
    /** Hands over a piece (the longest allowed, if not told) that takes so long to be taken. */
    piece(tookMs: number, bytes = sizer.pieceBytes) {
      sizer.handed(bytes);
      nowMs += tookMs;
      sizer.taken();
      return sizer.pieceBytes;
    },
    wait(ms: number) {
      nowMs += ms;
    },
  };
}

describe('PieceSizer', () => {
  it('starts small', () => {
    expect(sizerWithClock().sizer.pieceBytes).to.equal(64 * KiB);
  });

  it('doubles for a consumer that is quick, up to the largest', () => {
    const { piece } = sizerWithClock();
    const sizes = [1, 1, 1, 1, 1, 1].map((ms) => piece(ms) / KiB);
    expect(sizes).to.deep.equal([128, 256, 512, 1024, 2048, 2048]);
  });

  it('halves for one that is slow, down to the smallest', () => {
    const { piece } = sizerWithClock();
    for (let i = 0; i < 5; i++) piece(1);
    const sizes = [60, 60, 60, 60, 60, 60].map((ms) => piece(ms) / KiB);
    expect(sizes).to.deep.equal([1024, 512, 256, 128, 64, 64]);
  });

  it('rests between quick and slow, or a link of steady speed would make it swing', () => {
    const { piece } = sizerWithClock();
    const bytesPerMs = 5000;
    const sizes = new Set<number>();
    for (let i = 0, size = 64 * KiB; i < 20; i++) {
      size = piece(size / bytesPerMs);
      sizes.add(size);
    }
    expect([...sizes]).to.deep.equal([128 * KiB]);
  });

  it('goes to the smallest at once when a piece took more than a second', () => {
    const { piece } = sizerWithClock();
    for (let i = 0; i < 4; i++) piece(1);
    expect(piece(1001)).to.equal(64 * KiB);
  });

  it('learns nothing good from a piece shorter than allowed, but sees that it was slow', () => {
    const { piece } = sizerWithClock();
    piece(1);
    expect(piece(0, 100)).to.equal(128 * KiB);
    expect(piece(60, 100)).to.equal(64 * KiB);
  });

  it('does not count the time between a piece that was taken and the next', () => {
    const { piece, wait } = sizerWithClock();
    piece(1);
    wait(60_000);
    expect(piece(1)).to.equal(256 * KiB);
  });

  it('stays within its bounds whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ ms: fc.nat(3000), bytes: fc.nat() })), (pieces) => {
        let nowMs = 0;
        const sizer = new PieceSizer({ minBytes: 1000, maxBytes: 5000, now: () => nowMs });
        for (const { ms, bytes } of pieces) {
          sizer.handed(bytes);
          nowMs += ms;
          sizer.taken();
          expect(sizer.pieceBytes).within(1000, 5000);
        }
      }),
    );
  });
});
