import {
  createFragmentSizer,
  type FragmentSizer,
  fragmentLost,
  fragmentPassed,
  fragmentRefused,
} from '../../src/session/fragment-sizer.js';

/** A way to a server, as simple as fragment sizes can tell one from another. */
export interface Link {
  readonly bytesPerMs: number;
  /** From the last byte of a fragment to its acknowledgement. */
  readonly delayMs: number;
  /** Mean time between two breaks of the connection. @default none */
  readonly breakEveryMs?: number;
  /** Fragments above this are refused with 413. @default none */
  readonly capBytes?: number;
  /** Each fragment's speed is off by up to this part of it. @default 0 */
  readonly jitter?: number;
}

export interface Simulated {
  readonly elapsedMs: number;
  readonly sizes: readonly number[];
  readonly breaks: number;
  readonly refusals: number;
}

/** Back-off and the small fragment that learns the offset. */
const RECOVERY_MS = 1000;

/** An upload over a link; the same seed breaks the connection at the same times. */
export function simulate(
  link: Link,
  totalBytes: number,
  options: { fixedBytes?: number } = {},
  seed = 1,
): Simulated {
  const random = randomFrom(seed);
  const { bytesPerMs, delayMs, breakEveryMs, jitter = 0, capBytes = Infinity } = link;
  const untilBreak = () =>
    breakEveryMs === undefined ? Infinity : -Math.log(random()) * breakEveryMs;
  let sizer: FragmentSizer = createFragmentSizer(options);
  let [elapsedMs, offset, breaks, refusals, breakInMs] = [0, 0, 0, 0, untilBreak()];
  const sizes: number[] = [];
  // A fragment that takes longer than the link holds never arrives.
  const hopelessMs = 20 * (totalBytes / bytesPerMs) + 1_000_000;
  while (offset < totalBytes && elapsedMs < hopelessMs) {
    const bytes = Math.min(sizer.bytes, totalBytes - offset);
    const speed = bytesPerMs * (1 + jitter * (random() * 2 - 1));
    const tookMs = bytes / speed + delayMs;
    if (bytes > capBytes) {
      refusals++;
      elapsedMs += delayMs;
      const smaller = fragmentRefused(sizer, bytes);
      if (smaller === undefined) throw new Error('no fragment is small enough for this link');
      sizer = smaller;
    } else if (breakInMs < tookMs) {
      breaks++;
      elapsedMs += breakInMs + RECOVERY_MS + delayMs;
      breakInMs = untilBreak();
      sizer = fragmentLost(sizer);
    } else {
      sizes.push(bytes);
      offset += bytes;
      elapsedMs += tookMs;
      breakInMs -= tookMs;
      sizer = fragmentPassed(sizer, { bytes, elapsedMs: tookMs });
    }
  }
  return { elapsedMs, sizes, breaks, refusals };
}

/** Numbers from 0 to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
