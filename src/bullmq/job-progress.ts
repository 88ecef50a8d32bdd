import type { UploadState } from '../job/events.js';

/** What a job of BullMQ says of its upload, as its `progress`. */
export interface FleetProgress {
  /** Of the upload; `returned`: this worker could not do it, and another one may. */
  readonly state: UploadState | 'returned';
  /** The worker that said so. */
  readonly worker: string;
  /** Bytes that the server has acknowledged. */
  readonly acknowledgedBytes: number;
  readonly totalBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  /** How often a worker had died over the job when the upload last made progress. */
  readonly stalls: number;
  /** How often workers could not do the job and returned it, in a row. */
  readonly returns: number;
  /** Why it was returned last. */
  readonly reason?: string | undefined;
  readonly atMs: number;
}

/** Reads what another worker, or a stranger, wrote. */
export function parseProgress(
  value: unknown,
): Pick<
  FleetProgress,
  'stalls' | 'returns' | 'acknowledgedBytes' | 'totalBytes' | 'bytesPerSecond'
> & { readonly state: string | undefined } {
  const given = (
    typeof value === 'object' && value !== null ? value : {}
  ) as Partial<FleetProgress>;
  return {
    state: typeof given.state === 'string' ? given.state : undefined,
    stalls: countOf(given.stalls),
    returns: countOf(given.returns),
    acknowledgedBytes: countOf(given.acknowledgedBytes),
    totalBytes: numberOf(given.totalBytes),
    bytesPerSecond: numberOf(given.bytesPerSecond),
  };
}

function countOf(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
