import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';

/** IIS 7 and later refuse a request over 30,000,000 bytes by default ([MC-BUP] <10>). */
const MAX_ADAPTIVE_BYTES = 28 * 1024 * 1024;
const INITIAL_BYTES = 1024 * 1024;
/** What one lost fragment may cost in time. */
const TARGET_MS = 4000;
const GROWTH = 2;

/** How long the next fragment should be, learnt from the answers so far. */
export interface FragmentSizer {
  /** The caller's own size; the sizer then only ever shrinks below it when the server refuses it. */
  readonly fixed: boolean;
  readonly bytes: number;
  /** No fragment above this: the caller's, the transport's or the server's limit. */
  readonly capBytes: number;
  /** The largest fragment that this server has taken. */
  readonly largestPassedBytes: number;
}

export function createFragmentSizer(options: {
  fixedBytes?: number | undefined;
  capBytes?: number | undefined;
}): FragmentSizer {
  const cap = options.capBytes ?? Number.POSITIVE_INFINITY;
  const fixed = options.fixedBytes !== undefined;
  const bytes = options.fixedBytes ?? INITIAL_BYTES;
  const capBytes = Math.max(MIN_FRAGMENT_BYTES, fixed ? cap : Math.min(cap, MAX_ADAPTIVE_BYTES));
  return { fixed, bytes: Math.min(bytes, capBytes), capBytes, largestPassedBytes: 0 };
}

export function fragmentPassed(
  sizer: FragmentSizer,
  passed: { bytes: number; elapsedMs: number },
): FragmentSizer {
  const largestPassedBytes = Math.max(sizer.largestPassedBytes, passed.bytes);
  if (sizer.fixed || passed.bytes < sizer.bytes) return { ...sizer, largestPassedBytes };
  if (passed.elapsedMs * GROWTH <= TARGET_MS) {
    return {
      ...sizer,
      largestPassedBytes,
      bytes: Math.min(sizer.capBytes, sizer.bytes * GROWTH),
    };
  }
  if (passed.elapsedMs > TARGET_MS * GROWTH) return { ...halved(sizer), largestPassedBytes };
  return { ...sizer, largestPassedBytes };
}

/** A fragment whose answer never came: the next loss shall cost less. */
export function fragmentLost(sizer: FragmentSizer): FragmentSizer {
  return sizer.fixed ? sizer : halved(sizer);
}

/** The server refused this many bytes; undefined when there is no smaller fragment to try. */
export function fragmentRefused(sizer: FragmentSizer, bytes: number): FragmentSizer | undefined {
  if (bytes <= MIN_FRAGMENT_BYTES) return undefined;
  const capBytes = Math.max(MIN_FRAGMENT_BYTES, Math.floor(bytes / 2));
  return { ...sizer, capBytes, bytes: Math.min(sizer.bytes, capBytes) };
}

function halved(sizer: FragmentSizer): FragmentSizer {
  return { ...sizer, bytes: Math.max(MIN_FRAGMENT_BYTES, Math.floor(sizer.bytes / 2)) };
}
