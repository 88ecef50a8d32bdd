import { expect } from 'chai';
import fc from 'fast-check';
import {
  createFragmentSizer,
  type FragmentSizer,
  fragmentCurtailed,
  fragmentLost,
  fragmentPassed,
  fragmentRefused,
} from '../../src/session/fragment-sizer.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const MIN = 5 * KIB;

/** A whole fragment of the sizer's own size, answered after so long. */
const pass = (sizer: FragmentSizer, elapsedMs: number) =>
  fragmentPassed(sizer, { bytes: sizer.bytes, elapsedMs });

describe('the fragment sizer', () => {
  it('begins with 1 MiB', () => {
    expect(createFragmentSizer({}).bytes).to.equal(MIB);
  });

  it('begins with the cap when the cap is lower than 1 MiB', () => {
    expect(createFragmentSizer({ capBytes: 64 * KIB }).bytes).to.equal(64 * KIB);
  });

  it('accepts no cap below 5 KiB', () => {
    expect(createFragmentSizer({ capBytes: 1 }).capBytes).to.equal(MIN);
  });

  it('doubles the size when a fragment took two seconds', () => {
    expect(pass(createFragmentSizer({}), 2000).bytes).to.equal(2 * MIB);
  });

  it('increases the size in proportion to the time that is left, by a factor of eight at most', () => {
    expect(pass(createFragmentSizer({}), 1000).bytes).to.equal(4 * MIB);
    expect(pass(createFragmentSizer({}), 500).bytes).to.equal(8 * MIB);
    expect(pass(createFragmentSizer({}), 0).bytes).to.equal(8 * MIB);
  });

  it('keeps the size when a fragment took about four seconds', () => {
    for (const elapsedMs of [2001, 4000, 8000]) {
      expect(pass(createFragmentSizer({}), elapsedMs).bytes).to.equal(MIB);
    }
  });

  it('halves the size when a fragment took more than eight seconds', () => {
    expect(pass(createFragmentSizer({}), 8001).bytes).to.equal(MIB / 2);
  });

  it('reduces the size in proportion to the time, by a factor of eight at most', () => {
    expect(pass(createFragmentSizer({}), 16_000).bytes).to.equal(MIB / 4);
    expect(pass(createFragmentSizer({}), 600_000).bytes).to.equal(MIB / 8);
  });

  it('undoes a reduction that saved no time, and then increases the size', () => {
    const shrunk = pass(createFragmentSizer({}), 10_000);
    expect(shrunk.bytes).to.be.below(MIB);
    const back = pass(shrunk, 9500);
    expect(back.bytes).to.equal(MIB);
    expect(pass(back, 10_000).bytes).to.be.above(MIB);
  });

  it('keeps a reduction that saved a part of the time', () => {
    const shrunk = pass(createFragmentSizer({}), 10_000);
    expect(pass(shrunk, 6000).bytes).to.equal(shrunk.bytes);
  });

  it('never reduces the size below 5 KiB', () => {
    let sizer = createFragmentSizer({});
    for (let i = 0; i < 20; i += 1) sizer = pass(sizer, sizer.bytes * 100);
    expect(sizer.bytes).to.equal(MIN);
    expect(fragmentLost(sizer).bytes).to.equal(MIN);
  });

  it('never increases the size above the cap', () => {
    const sizer = pass(createFragmentSizer({ capBytes: 1.5 * MIB }), 1);
    expect(sizer.bytes).to.equal(1.5 * MIB);
  });

  it('never chooses a size that IIS refuses, even when the caller allows more', () => {
    for (const options of [{}, { capBytes: 2 ** 31 }]) {
      let sizer = createFragmentSizer(options);
      for (let i = 0; i < 20; i += 1) sizer = pass(sizer, 1);
      expect(sizer.bytes).to.equal(28 * MIB);
    }
  });

  it('learns nothing about the speed from a shorter fragment', () => {
    const sizer = createFragmentSizer({});
    expect(fragmentPassed(sizer, { bytes: MIB - 1, elapsedMs: 1 }).bytes).to.equal(MIB);
    expect(fragmentPassed(sizer, { bytes: MIB - 1, elapsedMs: 60_000 }).bytes).to.equal(MIB);
  });

  it('remembers the largest fragment that passed, fast or slow, whole or short', () => {
    const first = pass(createFragmentSizer({}), 1);
    expect(first.largestPassedBytes).to.equal(MIB);
    const slow = pass(first, 60_000);
    expect(slow.largestPassedBytes).to.equal(8 * MIB);
    expect(fragmentPassed(slow, { bytes: 7, elapsedMs: 1 }).largestPassedBytes).to.equal(8 * MIB);
    expect(pass(createFragmentSizer({}), 4000).largestPassedBytes).to.equal(MIB);
    expect(pass(createFragmentSizer({ fixedBytes: 9 }), 1).largestPassedBytes).to.equal(9);
  });

  it('halves the size after a loss, so that the next one costs less', () => {
    expect(fragmentLost(createFragmentSizer({})).bytes).to.equal(MIB / 2);
  });

  it('doubles the size after a loss only when four fragments have passed', () => {
    let sizer = fragmentLost(createFragmentSizer({}));
    const sizes = Array.from({ length: 9 }, () => {
      sizer = pass(sizer, 1);
      return sizer.bytes / MIB;
    });
    expect(sizes).to.deep.equal([0.5, 0.5, 0.5, 1, 1, 1, 1, 2, 2]);
  });

  describe('for a server that takes only the beginning of a fragment', () => {
    /** Sends so many bytes to it. */
    function sent(takes: (bytes: number, count: number) => number, totalBytes = 64 * MIB) {
      let sizer = createFragmentSizer({});
      let sentBytes = 0;
      let fragments = 0;
      for (let offset = 0; offset < totalBytes; fragments++) {
        const bytes = Math.min(sizer.bytes, totalBytes - offset);
        const takenBytes = Math.max(1, Math.min(bytes, Math.floor(takes(bytes, fragments))));
        sentBytes += bytes;
        offset += takenBytes;
        sizer =
          takenBytes < bytes
            ? fragmentCurtailed(sizer, { bytes, takenBytes })
            : fragmentPassed(sizer, { bytes, elapsedMs: 1 });
      }
      return { sizer, fragments, share: sentBytes / totalBytes };
    }

    it('sends as much as the server takes, and seldom more', () => {
      const { share, sizer } = sent(() => 64 * KIB);
      expect(share).to.be.below(1.25);
      expect(sizer.bytes).to.be.within(64 * KIB, 128 * KIB);
    });

    it('keeps 5 KiB when the server takes less than that', () => {
      expect(sent(() => 1, 10 * KIB).sizer.bytes).to.equal(MIN);
    });

    it('increases the size when the server takes more again', () => {
      const { sizer } = sent((_bytes, count) => (count < 10 ? 64 * KIB : Number.POSITIVE_INFINITY));
      expect(sizer.bytes).to.be.above(MIB);
    });

    for (const [what, takes] of [
      ['half', (bytes: number) => bytes / 2],
      ['nine tenths', (bytes: number) => bytes * 0.9],
      ['another part each time', (bytes: number, i: number) => bytes * ((i * 0.618 + 0.3) % 1)],
    ] as const) {
      it(`does not send less and less when the server takes ${what}`, () => {
        // No size would save a byte.
        expect(sent(takes).fragments).to.be.below(160);
      });
    }

    it('ignores it when it happens once', () => {
      const odd = sent((bytes, i) => (i === 3 ? 1 : bytes));
      expect(odd.fragments).to.be.at.most(sent((bytes) => bytes).fragments + 1);
    });
  });

  it('takes the largest size that passed as the cap when that is over half of what was refused', () => {
    const sizer = fragmentPassed(createFragmentSizer({}), { bytes: 5 * MIB, elapsedMs: 4000 });
    expect(fragmentRefused(sizer, 8 * MIB)?.capBytes).to.equal(5 * MIB);
    expect(fragmentRefused(sizer, 5 * MIB)?.capBytes).to.equal(2.5 * MIB);
  });

  it('reports the limit of the server only when a fragment has proved it', () => {
    const passed = pass(createFragmentSizer({}), 4000);
    expect(passed.serverCapBytes).to.equal(undefined);
    const refused = fragmentRefused(createFragmentSizer({}), MIB);
    expect(refused?.serverCapBytes).to.equal(undefined);
    if (refused) expect(pass(refused, 1).serverCapBytes).to.equal(MIB / 2);
  });

  it('takes half of what was refused as the cap, for good', () => {
    let sizer = fragmentRefused(createFragmentSizer({}), MIB);
    expect(sizer).to.include({ bytes: MIB / 2, capBytes: MIB / 2 });
    if (sizer) sizer = pass(sizer, 1);
    expect(sizer?.bytes).to.equal(MIB / 2);
  });

  it('keeps a size that is below half of what was refused', () => {
    const sizer = fragmentLost(fragmentLost(createFragmentSizer({})));
    expect(fragmentRefused(sizer, MIB)).to.include({ bytes: MIB / 4, capBytes: MIB / 2 });
  });

  it('has nothing smaller to try than 5 KiB', () => {
    const sizer = createFragmentSizer({});
    expect(fragmentRefused(sizer, MIN + 1)).to.include({ bytes: MIN, capBytes: MIN });
    expect(fragmentRefused(sizer, MIN)).to.equal(undefined);
  });

  describe('with a size that the caller chose', () => {
    const fixed = createFragmentSizer({ fixedBytes: 64 * MIB });

    it('keeps the size, whatever the speed and the losses', () => {
      expect(fixed.bytes).to.equal(64 * MIB);
      expect(pass(fixed, 1).bytes).to.equal(64 * MIB);
      expect(pass(fixed, 60_000).bytes).to.equal(64 * MIB);
      expect(fragmentLost(fragmentLost(fixed)).bytes).to.equal(64 * MIB);
    });

    it('reduces the size when three in a row are lost, and does not count shorter ones between them', () => {
      const twice = fragmentLost(fragmentLost(fixed));
      const short = fragmentPassed(twice, { bytes: MIN, elapsedMs: 1 });
      expect(fragmentLost(short).bytes).to.equal(32 * MIB);
      expect(fragmentLost(pass(twice, 1)).bytes).to.equal(64 * MIB);
      expect(fragmentLost(twice, false).bytes).to.equal(64 * MIB);
    });

    it('reduces the size to the cap of the transport', () => {
      expect(createFragmentSizer({ fixedBytes: 64 * MIB, capBytes: MIB }).bytes).to.equal(MIB);
    });

    it('keeps the size when the server takes less', () => {
      const curtailed = { bytes: 64 * MIB, takenBytes: MIB };
      expect(fragmentCurtailed(fragmentCurtailed(fixed, curtailed), curtailed)).to.equal(fixed);
    });

    it('reduces the size when the server refuses it', () => {
      expect(fragmentRefused(fixed, 64 * MIB)).to.include({ fixed: true, bytes: 32 * MIB });
    });
  });

  it('keeps the size between 5 KiB and the cap, which never rises', () => {
    const events = fc.array(
      fc.record({
        what: fc.constantFrom('passed', 'lost', 'curtailed', 'refused'),
        bytes: fc.integer({ min: 1, max: 64 * MIB }),
        elapsedMs: fc.nat(20_000),
      }),
    );
    const cap = fc.option(fc.integer({ min: MIN, max: 64 * MIB }), { nil: undefined });
    fc.assert(
      fc.property(cap, events, (capBytes, story) => {
        let sizer = createFragmentSizer({ capBytes });
        for (const { what, bytes, elapsedMs } of story) {
          const before = sizer.capBytes;
          const size = Math.min(bytes, sizer.bytes);
          if (what === 'passed') sizer = fragmentPassed(sizer, { bytes: size, elapsedMs });
          else if (what === 'lost') sizer = fragmentLost(sizer);
          else if (what === 'curtailed')
            sizer = fragmentCurtailed(sizer, { bytes: sizer.bytes, takenBytes: size });
          else sizer = fragmentRefused(sizer, size) ?? sizer;
          expect(sizer.capBytes).to.be.at.most(before);
          expect(sizer.bytes).to.be.within(MIN, sizer.capBytes);
        }
      }),
    );
  });
});
