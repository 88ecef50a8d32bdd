import {
  answeredIn,
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
  /** The connection breaks whenever it has carried so many bytes, anything between the two. @default never */
  readonly breakEveryBytes?: readonly [least: number, most: number];
  /** Begins slowly, as TCP does: the bytes that it carries in a round trip double. @default false */
  readonly slowStart?: boolean;
  /** Fragments above this are refused with 413. @default none */
  readonly capBytes?: number;
  /** Each fragment's speed is off by up to this part of it. @default 0 */
  readonly jitter?: number;
}

export interface Simulated {
  readonly elapsedMs: number;
  /** With those that were lost. */
  readonly sentBytes: number;
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
  const {
    bytesPerMs,
    delayMs,
    breakEveryMs,
    breakEveryBytes,
    jitter = 0,
    capBytes = Infinity,
  } = link;
  const untilBreak = () =>
    breakEveryMs === undefined ? Infinity : -Math.log(random()) * breakEveryMs;
  const untilCut = () => {
    const [least, most] = breakEveryBytes ?? [Infinity, Infinity];
    return least === Infinity ? Infinity : least + random() * (most - least);
  };
  const transferMs = tcp(link);
  let sizer: FragmentSizer = answeredIn(createFragmentSizer(options), 2 * delayMs);
  let [sentBytes, cutInBytes] = [0, untilCut()];
  let [elapsedMs, offset, breaks, refusals, breakInMs] = [0, 0, 0, 0, untilBreak()];
  const sizes: number[] = [];
  // A fragment that takes longer than the link holds never arrives.
  const hopelessMs = 20 * (totalBytes / bytesPerMs) + 1_000_000;
  while (offset < totalBytes && elapsedMs < hopelessMs) {
    const bytes = Math.min(sizer.bytes, totalBytes - offset);
    const speed = bytesPerMs * (1 + jitter * (random() * 2 - 1));
    const tookMs = transferMs(bytes, speed) + delayMs;
    if (bytes > capBytes) {
      refusals++;
      elapsedMs += delayMs;
      const smaller = fragmentRefused(sizer, bytes);
      if (smaller === undefined) throw new Error('no fragment is small enough for this link');
      sizer = smaller;
    } else if (cutInBytes < bytes) {
      breaks++;
      sentBytes += cutInBytes;
      elapsedMs += cutInBytes / speed + RECOVERY_MS + delayMs;
      cutInBytes = untilCut();
      sizer = fragmentLost(sizer);
    } else if (breakInMs < tookMs) {
      breaks++;
      sentBytes += bytes * (breakInMs / tookMs);
      elapsedMs += breakInMs + RECOVERY_MS + delayMs;
      breakInMs = untilBreak();
      sizer = fragmentLost(sizer);
    } else {
      sizes.push(bytes);
      offset += bytes;
      sentBytes += bytes;
      cutInBytes -= bytes;
      elapsedMs += tookMs;
      breakInMs -= tookMs;
      sizer = fragmentPassed(sizer, { bytes, elapsedMs: tookMs });
    }
  }
  return { elapsedMs, sentBytes, sizes, breaks, refusals };
}

/** How long one PUT of the whole file takes. */
export function onePutMs(link: Link, totalBytes: number): number {
  return tcp(link)(totalBytes, link.bytesPerMs) + link.delayMs;
}

const INITIAL_WINDOW_BYTES = 14_600;

/** A connection that remembers how far it has come. */
function tcp({ delayMs, slowStart = false }: Link): (bytes: number, bytesPerMs: number) => number {
  let windowBytes = slowStart ? INITIAL_WINDOW_BYTES : Infinity;
  return (bytes, bytesPerMs) => {
    let [leftBytes, tookMs] = [bytes, 0];
    while (windowBytes < bytesPerMs * delayMs && leftBytes > windowBytes) {
      leftBytes -= windowBytes;
      tookMs += delayMs;
      windowBytes *= 2;
    }
    return tookMs + leftBytes / bytesPerMs;
  };
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
