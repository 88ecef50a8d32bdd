import { abortError, onAbort, throwIfAborted, unlessAborted } from '../common/abort.js';
import { type BitsErrorCode, BitsTimeoutError } from '../errors.js';

/**
 * What a diagnosis checks, in the order of an upload.
 *
 * `create` and `cancel` belong to the probe.
 */
export type DiagnosisStepName =
  | 'dns'
  | 'tcp'
  | 'proxy'
  | 'tls'
  | 'auth'
  | 'ping'
  | 'create'
  | 'cancel';

/** What one step found. */
export interface DiagnosisStep {
  readonly step: DiagnosisStepName;
  /** `skipped`: there was nothing to check, or an earlier failure makes the step pointless. */
  readonly ok: true | false | 'skipped';
  readonly durationMs: number;
  /** In plain words, without any secret. */
  readonly detail: string;
  /** What the user or an administrator should check. */
  readonly advice?: string;
  /** The code of the error that an upload would fail with. */
  readonly code?: BitsErrorCode;
}

/** A step before its duration is known. */
export interface Finding extends Omit<DiagnosisStep, 'step' | 'durationMs'> {
  /** When the time was measured elsewhere. */
  readonly durationMs?: number;
}

export function good(detail: string, advice?: string): Finding {
  return { ok: true, detail, ...(advice !== undefined && { advice }) };
}

export function skipped(detail: string): Finding {
  return { ok: 'skipped', detail, durationMs: 0 };
}

export function bad(
  error: { readonly code: BitsErrorCode; readonly message: string },
  advice?: string,
): Finding {
  const { code, message } = error;
  return { ok: false, detail: message, code, ...(advice !== undefined && { advice }) };
}

/**
 * Waits for work no longer than a time, and not after the caller's signal aborts.
 *
 * The work gets a signal but need not obey it: a DNS look-up cannot be aborted.
 * @param what the beginning of the message when the time is over
 * @throws BITS_ERR_TIMEOUT, BITS_ERR_ABORTED, and what the work throws
 */
export async function withinLimit<T>(
  limitMs: number,
  signal: AbortSignal | undefined,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  const limit = new AbortController();
  const timer = setTimeout(
    () => limit.abort(new BitsTimeoutError(`${what} within ${limitMs} ms`)),
    limitMs,
  );
  const listening = signal && onAbort(signal, () => limit.abort(abortError(signal)));
  try {
    return await unlessAborted(work(limit.signal), limit.signal);
  } finally {
    clearTimeout(timer);
    listening?.[Symbol.dispose]();
  }
}
