import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';

/** IIS 7 and later refuse a request over 30,000,000 bytes by default ([MC-BUP] <10>). */
const MAX_ADAPTIVE_BYTES = 28 * 1024 * 1024;
/** The size of the first fragment, unless the caller chose one. */
export const INITIAL_BYTES = 1024 * 1024;
/** How long a fragment should take, so that a lost one costs no more; half and twice of it are accepted. */
const TARGET_MS = 4000;
const MAX_TARGET_MS = 16_000;
/** A fragment should take so many round trips, because one is lost after each. */
const TARGET_ROUND_TRIPS = 40;
/** No line is slower to answer; then it is the server that takes its time. */
const MAX_ROUND_TRIP_MS = 2000;
/** The largest factor by which one answer changes the size. */
const MAX_FACTOR = 8;
/** After so many losses in a row, a fragment of the caller's size does not get through. */
const MOST_FIXED_LOSSES = 3;
/** How many fragments must pass after a loss before a larger one is tried. */
const PATIENCE = 4;
/** As {@link PATIENCE}, after repeated losses of one size. */
const MAX_PATIENCE = 32;

/**
 * What is known of a server that takes only the beginning of a fragment.
 *
 * `takenBytes`: of the last such fragment; `from`: the size before it was reduced to that, after two such
 * fragments. `in-vain`: the server took only a part of the reduced size too, so it has no size limit.
 */
export type Curtailment =
  | { readonly takenBytes: number; readonly from: number | undefined }
  | 'in-vain';

/** How long the next fragment should be, as learnt from the answers so far. */
export interface FragmentSizer {
  /** The caller chose the size; it only shrinks, when it is refused or lost repeatedly. */
  readonly fixed: boolean;
  readonly bytes: number;
  /** No fragment is larger: the limit of the caller, the transport or the server. */
  readonly capBytes: number;
  /** The largest fragment that this server has accepted. */
  readonly largestPassedBytes: number;
  /** The server refused a fragment, so `capBytes` is its limit. */
  readonly capRefused: boolean;
  /** The server's limit, once a fragment has proved it: other uploads may start with it. */
  readonly serverCapBytes: number | undefined;
  /** How many fragments must pass before the size grows. */
  readonly patience: number;
  /** A fragment was lost, so growth is slow. */
  readonly lossy: boolean;
  /** The size that was lost, and how many smaller fragments must pass before it is tried again. */
  readonly lost: { readonly bytes: number; readonly patience: number } | undefined;
  /** How many fragments of the caller's size were lost since one of them passed. */
  readonly fixedLosses: number;
  /** The time of an answer that does not depend on the size, found when a reduction saved no time. */
  readonly delayMs: number;
  /** The shortest time in which a packet without a body was answered, if it was short. */
  readonly roundTripMs: number | undefined;
  /** The slow fragment that led to the present size, until that size has been tried. */
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
    lost: undefined,
    fixedLosses: 0,
    delayMs: 0,
    roundTripMs: undefined,
    shrunkFrom: undefined,
    curtailment: undefined,
  };
}

/** A packet without a body was answered. */
export function answeredIn(sizer: FragmentSizer, elapsedMs: number): FragmentSizer {
  const { roundTripMs = MAX_ROUND_TRIP_MS } = sizer;
  return elapsedMs < roundTripMs ? { ...sizer, roundTripMs: elapsedMs } : sizer;
}

function targetMs({ roundTripMs = 0 }: FragmentSizer): number {
  return Math.min(MAX_TARGET_MS, Math.max(TARGET_MS, TARGET_ROUND_TRIPS * roundTripMs));
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
  // A shorter fragment, such as the last one of a file, says nothing about the size.
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
  const wantedMs = targetMs(sizer);
  if (workMs > wantedMs * 2) {
    return { ...divided(tried, factor(workMs / wantedMs)), shrunkFrom: { bytes, elapsedMs } };
  }
  if (workMs > wantedMs / 2) return tried;
  if (sizer.patience > 1) return { ...tried, patience: sizer.patience - 1 };
  const growth = sizer.lossy ? 2 : factor(wantedMs / workMs);
  // A size that got through so often was lost by chance.
  const isProved = sizer.lost !== undefined && bytes >= sizer.lost.bytes;
  const lost = isProved ? { bytes: bytes * 2, patience: eased(sizer.lost) } : sizer.lost;
  return patient({ ...tried, bytes: Math.min(sizer.capBytes, bytes * growth), lost });
}

/** A smaller fragment takes less time, unless the time does not depend on the size. */
function shrankInVain(
  before: { readonly bytes: number; readonly elapsedMs: number },
  now: { readonly bytes: number; readonly elapsedMs: number },
): boolean {
  const inProportion = before.elapsedMs * (now.bytes / before.bytes);
  return now.elapsedMs > (before.elapsedMs + inProportion) / 2;
}

function factor(wanted: number): number {
  return Math.min(MAX_FACTOR, Math.max(2, Math.round(wanted)));
}

/**
 * A fragment has to be sent again: the next loss should cost less.
 * @param onTheWay the network lost it, not the server
 */
export function fragmentLost(sizer: FragmentSizer, onTheWay = true): FragmentSizer {
  if (sizer.fixed) return onTheWay ? fixedLost(sizer) : sizer;
  const { bytes, lost } = sizer;
  const isAgain = lost !== undefined && bytes >= lost.bytes;
  const patience = isAgain ? Math.min(MAX_PATIENCE, lost.patience * 2) : eased(lost);
  const next: FragmentSizer = { ...sizer, lossy: true, lost: { bytes, patience } };
  return patient({ ...divided(next, 2), shrunkFrom: undefined });
}

function eased(lost: FragmentSizer['lost']): number {
  return Math.max(PATIENCE, (lost?.patience ?? 0) / 2);
}

/** Sets how many fragments must pass before a larger size is tried. */
function patient(sizer: FragmentSizer): FragmentSizer {
  const { bytes, lossy, lost } = sizer;
  const isNearLoss = lost !== undefined && bytes * 2 >= lost.bytes;
  return { ...sizer, patience: isNearLoss ? lost.patience : lossy ? PATIENCE : 0 };
}

/**
 * The server took only the beginning of a fragment: the rest was sent in vain.
 *
 * A server that takes the same number of bytes twice has a limit, and gets no larger fragments. For one
 * that takes a part of any fragment, no size would be right, so the size stays.
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

/** A proxy may cut long requests; the short ones between them are progress, so nothing else would end it. */
function fixedLost(sizer: FragmentSizer): FragmentSizer {
  const fixedLosses = sizer.fixedLosses + 1;
  if (fixedLosses < MOST_FIXED_LOSSES) return { ...sizer, fixedLosses };
  return { ...divided(sizer, 2), fixedLosses: 0 };
}

/** The server refused so many bytes; undefined when there is no smaller fragment to try. */
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
