import { expect } from 'chai';
import { type Link, type Simulated, simulate } from './link-model.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const FIXED_SIZES = [64, 256, 1024, 4096, 16_384, 28_672].map((kib) => kib * KIB);
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

/** What the link carries in this time, so that slow links do not take a day. */
const bytesIn = (link: Link, ms: number) => Math.round(link.bytesPerMs * ms);

const meanMs = (runs: readonly Simulated[]) =>
  runs.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0) / runs.length;

/** Speed in parts of the best fixed size's on the same link. */
function share(link: Link, totalBytes: number, seeds = SEEDS): number {
  const over = (options: { fixedBytes?: number }) =>
    meanMs(seeds.map((seed) => simulate(link, totalBytes, options, seed)));
  const best = Math.min(...FIXED_SIZES.map((fixedBytes) => over({ fixedBytes })));
  return best / over({});
}

const changes = ({ sizes }: Simulated, from: number) =>
  sizes.slice(from, -1).filter((bytes, index, all) => index > 0 && bytes !== all[index - 1]).length;

describe('the fragment sizer on a model link', () => {
  for (const [name, bytesPerMs] of [
    ['20 kB/s', 20],
    ['200 kB/s', 200],
    ['2 MB/s', 2000],
    ['100 MB/s', 100_000],
    ['1 GB/s', 1_000_000],
  ] as const) {
    for (const [delayMs, least] of [
      [1, 0.95],
      [50, 0.9],
      [500, 0.8],
    ] as const) {
      const link = { bytesPerMs, delayMs };
      const totalBytes = Math.min(bytesIn(link, 600_000), 1024 * MIB);

      it(`of ${name} and a delay of ${delayMs} ms reaches ${least} of the speed of the best fixed size`, () => {
        expect(share(link, totalBytes, [1])).to.be.above(least);
      });

      it(`of ${name} and a delay of ${delayMs} ms settles on a size and keeps it`, () => {
        expect(changes(simulate(link, 2 * totalBytes), 8)).to.equal(0);
      });
    }
  }

  it('keeps the size when the speed varies by a third', () => {
    for (const bytesPerMs of [50, 500, 1000, 1500, 2000, 3000, 5000]) {
      const link = { bytesPerMs, delayMs: 50, jitter: 1 / 3 };
      for (const seed of SEEDS) {
        const run = simulate(link, bytesIn(link, 1_200_000), {}, seed);
        expect(changes(run, 8), `${bytesPerMs} bytes/ms`).to.be.below(3);
      }
    }
  });

  for (const breakEveryMs of [5000, 20_000, 100_000]) {
    for (const bytesPerMs of [200, 2000, 20_000]) {
      it(`of ${bytesPerMs} kB/s loses little time to breaks every ${breakEveryMs / 1000} s`, () => {
        const link = { bytesPerMs, delayMs: 50, breakEveryMs };
        expect(share(link, Math.min(bytesIn(link, 300_000), 1024 * MIB))).to.be.above(0.85);
      });
    }
  }

  it('is refused by a server with a limit a few times only, and then respects the limit', () => {
    for (const capBytes of [16 * KIB, 100 * KIB, MIB, 5 * MIB, 10_000_000]) {
      const link = { bytesPerMs: 10_000, delayMs: 50, capBytes };
      const run = simulate(link, 512 * MIB);
      expect(run.refusals, `${capBytes} bytes`).to.be.below(7);
      const largest = Math.max(...run.sizes);
      expect(largest).to.be.within(capBytes / 2, capBytes);
    }
  });

  it('sends no small fragments to a server that needs 15 s to answer, whatever the size', () => {
    const { sizes } = simulate({ bytesPerMs: 50_000, delayMs: 15_000 }, 1024 * MIB);
    expect(sizes.length).to.be.below(60);
    expect(Math.max(...sizes)).to.equal(28 * MIB);
  });

  it('loses some three seconds, not a minute, when a slow link breaks', () => {
    const link = { bytesPerMs: 20, delayMs: 50 };
    const { sizes } = simulate(link, bytesIn(link, 600_000));
    expect((sizes.at(-2) ?? 0) / link.bytesPerMs).to.be.within(2000, 8000);
  });
});
