import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';

/** IIS 7 and later refuse a request over 30,000,000 bytes by default ([MC-BUP] <10>). */
const MAX_ADAPTIVE_BYTES = 28 * 1024 * 1024;
const INITIAL_BYTES = 1024 * 1024;
/** What one lost fragment may cost in time; half of it to twice of it is left as it is. */
const TARGET_MS = 4000;
/** The most by which one answer changes the size, either way. */
const MAX_FACTOR = 8;
/** A size of the caller's that was lost so often in a row does not get through. */
const MOST_FIXED_LOSSES = 3;
/** Fragments that must pass after a loss before a larger one is tried. */
const PATIENCE = 4;

/**
 * What is known of a server that takes the beginning of a fragment only.
 *
 * `takenBytes` of the last such fragment; `from`: the size that was shortened to that, because it was so
 * twice. `in-vain`: it took a part of that as well, so that its limit is none of the size.
 */
export type Curtailment =
  | { readonly takenBytes: number; readonly from: number | undefined }
  | 'in-vain';

/** How long the next fragment should be, learnt from the answers so far. */
export interface FragmentSizer {
  /** The caller's own size; the sizer then only shrinks, when it is refused or lost time and again. */
  readonly fixed: boolean;
  readonly bytes: number;
  /** No fragment above this: the caller's, the transport's or the server's limit. */
  readonly capBytes: number;
  /** The largest fragment that this server has taken. */
  readonly largestPassedBytes: number;
  /** The server refused a fragment, which is where `capBytes` comes from. */
  readonly capRefused: boolean;
  /** A limit of the server's that a fragment has proved since: other uploads may start with it. */
  readonly serverCapBytes: number | undefined;
  /** Fragments still to pass before the next growth. */
  readonly patience: number;
  /** A fragment was lost, so that growth has to be slow. */
  readonly lossy: boolean;
  /** How many fragments of the caller's size were lost since one passed. */
  readonly fixedLosses: number;
  /** What an answer takes whatever the size, as far as shrinking in vain has shown it. */
  readonly delayMs: number;
  /** The fragment whose slowness made the present size, until that size has been tried. */
  readonly shrunkFrom: { readonly bytes: number; readonly elapsedMs: number } | undefined;
  readonly curtailment: Curtailment | undefined;
}

export function createFragmentSizer(options: {
  fixedBytes?: number | undefined;
  capBytes?: number | undefined;
}): FragmentSizer {
  const cap = options.capBytes ?? Number.POSITIVE_INFINITY;
  const fixed = options.fixedBytes !== undefined;
  const bytes = options.fixedBytes ?? INITIAL_BYTES;
  const capBytes = Math.max(MIN_FRAGMENT_BYTES, fixed ? cap : Math.min(cap, MAX_ADAPTIVE_BYTES));
  return {
    fixed,
    bytes: Math.min(bytes, capBytes),
    capBytes,
    largestPassedBytes: 0,
    capRefused: false,
    serverCapBytes: undefined,
    patience: 0,
    lossy: false,
    fixedLosses: 0,
    delayMs: 0,
    shrunkFrom: undefined,
    curtailment: undefined,
  };
}

export function fragmentPassed(
  sizer: FragmentSizer,
  passed: { bytes: number; elapsedMs: number },
): FragmentSizer {
  const next: FragmentSizer = {
    ...sizer,
    largestPassedBytes: Math.max(sizer.largestPassedBytes, passed.bytes),
    serverCapBytes: sizer.capRefused ? sizer.capBytes : undefined,
    fixedLosses: passed.bytes < sizer.bytes ? sizer.fixedLosses : 0,
  };
  // A shorter one, such as the last of a file, tells nothing about the size.
  if (sizer.fixed || passed.bytes < sizer.bytes) return next;
  return judged(next, passed.elapsedMs);
}

function judged(sizer: FragmentSizer, elapsedMs: number): FragmentSizer {
  const { bytes, shrunkFrom } = sizer;
  if (shrunkFrom !== undefined && shrankInVain(shrunkFrom, { bytes, elapsedMs })) {
    return { ...sizer, bytes: shrunkFrom.bytes, delayMs: elapsedMs, shrunkFrom: undefined };
  }
  const tried: FragmentSizer = { ...sizer, shrunkFrom: undefined };
  const workMs = Math.max(0, elapsedMs - sizer.delayMs);
  if (workMs > TARGET_MS * 2) {
    return { ...divided(tried, factor(workMs / TARGET_MS)), shrunkFrom: { bytes, elapsedMs } };
  }
  if (workMs > TARGET_MS / 2) return tried;
  if (sizer.patience > 1) return { ...tried, patience: sizer.patience - 1 };
  const growth = sizer.lossy ? 2 : factor(TARGET_MS / workMs);
  return {
    ...tried,
    bytes: Math.min(sizer.capBytes, bytes * growth),
    patience: sizer.lossy ? PATIENCE : 0,
  };
}

/** A smaller fragment takes less time, unless it is something else that takes the time. */
function shrankInVain(
  before: { readonly bytes: number; readonly elapsedMs: number },
  now: { readonly bytes: number; readonly elapsedMs: number },
): boolean {
  const inProportion = before.elapsedMs * (now.bytes / before.bytes);
  return now.elapsedMs > (before.elapsedMs + inProportion) / 2;
}

function factor(wished: number): number {
  return Math.min(MAX_FACTOR, Math.max(2, Math.round(wished)));
}

/**
 * A fragment that has to be sent again: the next loss shall cost less.
 * @param onTheWay it did not get through, and nobody but the network is to blame
 */
export function fragmentLost(sizer: FragmentSizer, onTheWay = true): FragmentSizer {
  if (sizer.fixed) return onTheWay ? fixedLost(sizer) : sizer;
  return { ...divided(sizer, 2), lossy: true, patience: PATIENCE, shrunkFrom: undefined };
}

/**
 * The server took the beginning of a fragment and asks for the rest: all of that was sent in vain.
 *
 * One that takes the same number of bytes twice has a limit, and gets no more than that. One that takes
 * a part of whatever it gets would be asked for less and less, and is left as it is.
 */
export function fragmentCurtailed(
  sizer: FragmentSizer,
  fragment: { readonly bytes: number; readonly takenBytes: number },
): FragmentSizer {
  const { curtailment } = sizer;
  if (sizer.fixed || curtailment === 'in-vain') return sizer;
  const { bytes, takenBytes } = fragment;
  if (curtailment?.takenBytes === takenBytes) {
    return {
      ...sizer,
      bytes: Math.min(sizer.bytes, Math.max(MIN_FRAGMENT_BYTES, takenBytes)),
      lossy: true,
      patience: PATIENCE,
      shrunkFrom: undefined,
      curtailment: { takenBytes, from: curtailment.from ?? sizer.bytes },
    };
  }
  if (curtailment?.from !== undefined && bytes <= curtailment.takenBytes) {
    const before = Math.min(sizer.capBytes, curtailment.from);
    return { ...sizer, bytes: before, curtailment: 'in-vain' };
  }
  return { ...sizer, curtailment: { takenBytes, from: undefined } };
}

/** Something on the way may cut long requests off: each small one between two of them is progress. */
function fixedLost(sizer: FragmentSizer): FragmentSizer {
  const fixedLosses = sizer.fixedLosses + 1;
  if (fixedLosses < MOST_FIXED_LOSSES) return { ...sizer, fixedLosses };
  return { ...divided(sizer, 2), fixedLosses: 0 };
}

/** The server refused this many bytes; undefined when there is no smaller fragment to try. */
export function fragmentRefused(sizer: FragmentSizer, bytes: number): FragmentSizer | undefined {
  if (bytes <= MIN_FRAGMENT_BYTES) return undefined;
  const { largestPassedBytes } = sizer;
  const proved = largestPassedBytes < bytes ? largestPassedBytes : 0;
  const capBytes = Math.max(MIN_FRAGMENT_BYTES, Math.floor(bytes / 2), proved);
  return {
    ...sizer,
    capBytes,
    bytes: Math.min(sizer.bytes, capBytes),
    capRefused: true,
    serverCapBytes: undefined,
    shrunkFrom: undefined,
  };
}

function divided(sizer: FragmentSizer, by: number): FragmentSizer {
  return { ...sizer, bytes: Math.max(MIN_FRAGMENT_BYTES, Math.floor(sizer.bytes / by)) };
}
