import { type Link, simulate } from '../test/session/link-model.js';
import { GIB, KIB, MIB } from './data.js';
import { size } from './row.js';
import { lineChart } from './svg.js';

const FIXED_SIZES = [64 * KIB, MIB, 4 * MIB, 28 * MIB];
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

/** How the adaptive size does against fixed ones on model links; file name → SVG. */
export function sizerCurves(): ReadonlyMap<string, string> {
  const late = chart(
    'Share of a link of 100 MB/s, by how late it acknowledges (model)',
    'acknowledgement after, ms',
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    (delayMs) => ({ bytesPerMs: 100_000, delayMs }),
  );
  const breaking = chart(
    'Share of a link of 2 MB/s that breaks, by how often it does (model)',
    'mean time between two breaks, s',
    [4, 8, 16, 32, 64, 128, 256, 512],
    (seconds) => ({ bytesPerMs: 2000, delayMs: 50, breakEveryMs: seconds * 1000 }),
  );
  return new Map([
    ['sizer-late.svg', late],
    ['sizer-breaks.svg', breaking],
  ]);
}

function chart(
  title: string,
  x: string,
  values: readonly number[],
  linkOf: (value: number) => Link,
): string {
  const line = (label: string, options: { fixedBytes?: number }) => ({
    label,
    ours: options.fixedBytes === undefined,
    points: values.map((value) => [value, shareOf(linkOf(value), options)] as const),
  });
  return lineChart(title, { x, y: '% of the link', tick: String }, [
    line('adaptive', {}),
    ...FIXED_SIZES.map((fixedBytes) => line(`fixed ${size(fixedBytes)}`, { fixedBytes })),
  ]);
}

function shareOf(link: Link, options: { fixedBytes?: number }): number {
  const totalBytes = Math.min(GIB, link.bytesPerMs * 600_000);
  const runs = SEEDS.map((seed) => simulate(link, totalBytes, options, seed).elapsedMs);
  const meanMs = runs.reduce((sum, ms) => sum + ms, 0) / runs.length;
  return (100 * (totalBytes / link.bytesPerMs)) / meanMs;
}
