/** How many uploads run at once, as learnt from how many files end in a second. */
export interface AutoConcurrency {
  readonly limit: number;
  /** Files that have ended since `sinceMs`, while all places were taken. */
  readonly files: number;
  readonly sinceMs: number;
  /** What the limit before the present one achieved. */
  readonly before: { readonly limit: number; readonly filesPerSecond: number } | undefined;
  /** The limit does not grow until then. */
  readonly holdUntilMs: number;
  /** When it fell for the last time because of trouble. */
  readonly fellAtMs: number;
  /** There was trouble, so that it grows by one, and not to twice as much. */
  readonly isCautious: boolean;
}

const FIRST_LIMIT = 4;
export const MAX_LIMIT = 32;

/** A rate counts after so many files for each upload at once, and so much time. */
const FILES_PER_PLACE = 2;
const MIN_WINDOW_MS = 250;

/** More uploads at once are worth while when they bring so much of what they could bring at best. */
const WORTHWHILE = 0.2;

/** After growth in vain, and after trouble, conditions may be different so much later. */
const HOLD_MS = 10_000;

/** What fails together, because the uploads run at once, is one trouble. */
const ONE_TROUBLE_MS = 1000;

export function newAutoConcurrency(nowMs: number): AutoConcurrency {
  return {
    limit: FIRST_LIMIT,
    files: 0,
    sinceMs: nowMs,
    before: undefined,
    holdUntilMs: Number.NEGATIVE_INFINITY,
    fellAtMs: Number.NEGATIVE_INFINITY,
    isCautious: false,
  };
}

/**
 * A file has ended.
 * @param isFull whether as many uploads were running as may; otherwise the rate says nothing
 */
export function fileEnded(
  auto: AutoConcurrency,
  nowMs: number,
  { isFull }: { readonly isFull: boolean },
): AutoConcurrency {
  if (!isFull) return { ...auto, files: 0, sinceMs: nowMs };
  const files = auto.files + 1;
  const elapsedMs = nowMs - auto.sinceMs;
  const isMeasured = files >= auto.limit * FILES_PER_PLACE && elapsedMs >= MIN_WINDOW_MS;
  if (!isMeasured) return { ...auto, files };
  return judged({ ...auto, files: 0, sinceMs: nowMs }, (files / elapsedMs) * 1000, nowMs);
}

/** The server is busy (429, 503), or a connection broke or got no answer. */
export function troubled(auto: AutoConcurrency, nowMs: number): AutoConcurrency {
  const held = { ...auto, holdUntilMs: nowMs + HOLD_MS, isCautious: true };
  if (nowMs - auto.fellAtMs < ONE_TROUBLE_MS) return held;
  const limit = Math.max(1, Math.floor(auto.limit / 2));
  return { ...held, limit, before: undefined, fellAtMs: nowMs, files: 0, sinceMs: nowMs };
}

function judged(auto: AutoConcurrency, filesPerSecond: number, nowMs: number): AutoConcurrency {
  const { limit, before, isCautious } = auto;
  if (nowMs < auto.holdUntilMs) return auto;
  if (before !== undefined && before.limit < limit) {
    const growth = limit / before.limit - 1;
    const wanted = before.filesPerSecond * (1 + growth * WORTHWHILE);
    if (filesPerSecond < wanted) return steppedBack(auto, before.limit, nowMs);
  }
  const grown = Math.min(MAX_LIMIT, isCautious ? limit + 1 : limit * 2);
  return { ...auto, limit: grown, before: { limit, filesPerSecond } };
}

function steppedBack(auto: AutoConcurrency, limit: number, nowMs: number): AutoConcurrency {
  return { ...auto, limit, before: undefined, holdUntilMs: nowMs + HOLD_MS };
}
