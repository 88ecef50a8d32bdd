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

describe('fragment sizer', () => {
  it('begins with 1 MiB', () => {
    expect(createFragmentSizer({}).bytes).to.equal(MIB);
  });

  it('begins with the cap when that is lower', () => {
    expect(createFragmentSizer({ capBytes: 64 * KIB }).bytes).to.equal(64 * KIB);
  });

  it('takes no cap under 5 KiB', () => {
    expect(createFragmentSizer({ capBytes: 1 }).capBytes).to.equal(MIN);
  });

  it('doubles when a fragment took half of four seconds or less', () => {
    expect(pass(createFragmentSizer({}), 2000).bytes).to.equal(2 * MIB);
  });

  it('grows by as much as the time leaves room for, by eight at most', () => {
    expect(pass(createFragmentSizer({}), 1000).bytes).to.equal(4 * MIB);
    expect(pass(createFragmentSizer({}), 500).bytes).to.equal(8 * MIB);
    expect(pass(createFragmentSizer({}), 0).bytes).to.equal(8 * MIB);
  });

  it('stays when a fragment took about four seconds', () => {
    for (const elapsedMs of [2001, 4000, 8000]) {
      expect(pass(createFragmentSizer({}), elapsedMs).bytes).to.equal(MIB);
    }
  });

  it('halves when a fragment took more than twice four seconds', () => {
    expect(pass(createFragmentSizer({}), 8001).bytes).to.equal(MIB / 2);
  });

  it('shrinks by as much as the time demands, by eight at most', () => {
    expect(pass(createFragmentSizer({}), 16_000).bytes).to.equal(MIB / 4);
    expect(pass(createFragmentSizer({}), 600_000).bytes).to.equal(MIB / 8);
  });

  it('takes a shrinking back that made nothing faster, and grows from there', () => {
    const shrunk = pass(createFragmentSizer({}), 10_000);
    expect(shrunk.bytes).to.be.below(MIB);
    const back = pass(shrunk, 9500);
    expect(back.bytes).to.equal(MIB);
    expect(pass(back, 10_000).bytes).to.be.above(MIB);
  });

  it('lets a shrinking stand that made fragments faster, if not by all of it', () => {
    const shrunk = pass(createFragmentSizer({}), 10_000);
    expect(pass(shrunk, 6000).bytes).to.equal(shrunk.bytes);
  });

  it('never halves under 5 KiB', () => {
    let sizer = createFragmentSizer({});
    for (let i = 0; i < 20; i += 1) sizer = pass(sizer, sizer.bytes * 100);
    expect(sizer.bytes).to.equal(MIN);
    expect(fragmentLost(sizer).bytes).to.equal(MIN);
  });

  it('never grows above the cap', () => {
    const sizer = pass(createFragmentSizer({ capBytes: 1.5 * MIB }), 1);
    expect(sizer.bytes).to.equal(1.5 * MIB);
  });

  it('never grows by itself to what IIS refuses, nor with a higher cap of the caller', () => {
    for (const options of [{}, { capBytes: 2 ** 31 }]) {
      let sizer = createFragmentSizer(options);
      for (let i = 0; i < 20; i += 1) sizer = pass(sizer, 1);
      expect(sizer.bytes).to.equal(28 * MIB);
    }
  });

  it('learns no speed from a fragment shorter than it asked for', () => {
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

  it('halves after a loss, so that the next one costs less', () => {
    expect(fragmentLost(createFragmentSizer({})).bytes).to.equal(MIB / 2);
  });

  it('doubles after a loss, and after four fragments passed each time', () => {
    let sizer = fragmentLost(createFragmentSizer({}));
    const sizes = Array.from({ length: 9 }, () => {
      sizer = pass(sizer, 1);
      return sizer.bytes / MIB;
    });
    expect(sizes).to.deep.equal([0.5, 0.5, 0.5, 1, 1, 1, 1, 2, 2]);
  });

  describe('when a server takes the beginning of a fragment only', () => {
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

    it('sends what it takes, and seldom more', () => {
      const { share, sizer } = sent(() => 64 * KIB);
      expect(share).to.be.below(1.25);
      expect(sizer.bytes).to.be.within(64 * KIB, 128 * KIB);
    });

    it('stays at 5 KiB where it takes less than that', () => {
      expect(sent(() => 1, 10 * KIB).sizer.bytes).to.equal(MIN);
    });

    it('grows when it takes more again', () => {
      const { sizer } = sent((_bytes, count) => (count < 10 ? 64 * KIB : Number.POSITIVE_INFINITY));
      expect(sizer.bytes).to.be.above(MIB);
    });

    for (const [what, takes] of [
      ['half', (bytes: number) => bytes / 2],
      ['nine tenths', (bytes: number) => bytes * 0.9],
      ['another part each time', (bytes: number, i: number) => bytes * ((i * 0.618 + 0.3) % 1)],
    ] as const) {
      it(`does not send less and less where it takes ${what}`, () => {
        // No size would save a byte.
        expect(sent(takes).fragments).to.be.below(160);
      });
    }

    it('thinks nothing of it when it happens once', () => {
      const odd = sent((bytes, i) => (i === 3 ? 1 : bytes));
      expect(odd.fragments).to.be.at.most(sent((bytes) => bytes).fragments + 1);
    });
  });

  it('caps at what has passed when that is more than half of what was refused', () => {
    const sizer = fragmentPassed(createFragmentSizer({}), { bytes: 5 * MIB, elapsedMs: 4000 });
    expect(fragmentRefused(sizer, 8 * MIB)?.capBytes).to.equal(5 * MIB);
    expect(fragmentRefused(sizer, 5 * MIB)?.capBytes).to.equal(2.5 * MIB);
  });

  it("tells the server's limit to others only when a fragment has proved it", () => {
    const passed = pass(createFragmentSizer({}), 4000);
    expect(passed.serverCapBytes).to.equal(undefined);
    const refused = fragmentRefused(createFragmentSizer({}), MIB);
    expect(refused?.serverCapBytes).to.equal(undefined);
    if (refused) expect(pass(refused, 1).serverCapBytes).to.equal(MIB / 2);
  });

  it('caps at half of what was refused, for good', () => {
    let sizer = fragmentRefused(createFragmentSizer({}), MIB);
    expect(sizer).to.include({ bytes: MIB / 2, capBytes: MIB / 2 });
    if (sizer) sizer = pass(sizer, 1);
    expect(sizer?.bytes).to.equal(MIB / 2);
  });

  it('keeps a size that is under half of what was refused', () => {
    const sizer = fragmentLost(fragmentLost(createFragmentSizer({})));
    expect(fragmentRefused(sizer, MIB)).to.include({ bytes: MIB / 4, capBytes: MIB / 2 });
  });

  it('has nothing smaller to try than 5 KiB', () => {
    const sizer = createFragmentSizer({});
    expect(fragmentRefused(sizer, MIN + 1)).to.include({ bytes: MIN, capBytes: MIN });
    expect(fragmentRefused(sizer, MIN)).to.equal(undefined);
  });

  describe('with a size of the caller', () => {
    const fixed = createFragmentSizer({ fixedBytes: 64 * MIB });

    it('keeps it, whatever the speed and the losses', () => {
      expect(fixed.bytes).to.equal(64 * MIB);
      expect(pass(fixed, 1).bytes).to.equal(64 * MIB);
      expect(pass(fixed, 60_000).bytes).to.equal(64 * MIB);
      expect(fragmentLost(fragmentLost(fixed)).bytes).to.equal(64 * MIB);
    });

    it('shrinks when three in a row are lost, shorter ones in between not counted', () => {
      const twice = fragmentLost(fragmentLost(fixed));
      const short = fragmentPassed(twice, { bytes: MIN, elapsedMs: 1 });
      expect(fragmentLost(short).bytes).to.equal(32 * MIB);
      expect(fragmentLost(pass(twice, 1)).bytes).to.equal(64 * MIB);
      expect(fragmentLost(twice, false).bytes).to.equal(64 * MIB);
    });

    it('lowers it to the cap of the transport', () => {
      expect(createFragmentSizer({ fixedBytes: 64 * MIB, capBytes: MIB }).bytes).to.equal(MIB);
    });

    it('keeps it when a server takes less, for it may want it so', () => {
      const curtailed = { bytes: 64 * MIB, takenBytes: MIB };
      expect(fragmentCurtailed(fragmentCurtailed(fixed, curtailed), curtailed)).to.equal(fixed);
    });

    it('lowers it when the server refuses it', () => {
      expect(fragmentRefused(fixed, 64 * MIB)).to.include({ fixed: true, bytes: 32 * MIB });
    });
  });

  it('stays between 5 KiB and the cap, and the cap never rises', () => {
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
