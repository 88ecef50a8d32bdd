import type { BitsErrorCode } from '../errors.js';

/**
 * What is looked at, in the order in which an upload meets it.
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
  /** `skipped`: there was nothing to look at, or an earlier failure makes it pointless. */
  readonly ok: true | false | 'skipped';
  readonly durationMs: number;
  /** In plain words, without any secret. */
  readonly detail: string;
  /** What an administrator, or the user, should look at. */
  readonly advice?: string;
  /** That an upload would fail with. */
  readonly code?: BitsErrorCode;
}

/** A step before it is known how long it took. */
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
  return {
    ok: false,
    detail: error.message,
    code: error.code,
    ...(advice !== undefined && { advice }),
  };
}
