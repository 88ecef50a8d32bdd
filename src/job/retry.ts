import pRetry from 'p-retry';
import type { AbortSwitch } from '../common/abort-switch.js';
import { BitsArgumentError, BitsError } from '../errors.js';
import type { Refusal } from '../protocol/refusal.js';
import type { Clock } from './clock.js';

/** What `shouldRetry` and the `retry` event get to know. */
export interface RetryDecision {
  /** 1 for the first retry since the last progress. */
  readonly attempt: number;
  /** How long the job waits before it. */
  readonly delayMs: number;
  readonly error: BitsError;
}

export interface RetryPolicy {
  readonly retries: number;
  readonly minRetryDelayMs: number;
  readonly maxRetryDelayMs: number;
  readonly maxRetryAfterMs: number;
  readonly noProgressTimeoutMs: number;
  readonly shouldRetry: (decision: RetryDecision) => boolean | Promise<boolean>;
}

/** Thrown by an attempt that may be made again; p-retry sees only `Error`s that are no TypeError. */
export class TryAgain extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.error.message);
    this.refusal = refusal;
  }
}

export interface RetryHooks {
  readonly interruption: AbortSwitch;
  readonly random: () => number;
  readonly sleep: Clock['sleep'];
  /** How long it is since the first failure that no progress followed. */
  readonly failingForMs: () => number;
  /** Ends a wait earlier, as the fallback from a host-id does. */
  readonly longestWaitMs: () => number;
  readonly onRetry: (decision: RetryDecision) => void;
}

/**
 * Runs attempts until one makes progress, or the first one all the way; the back-off doubles from
 * one to the next, with full jitter.
 * @throws what `attempt` threw; for `TryAgain`, the error that ends the job
 */
export async function retryUntilProgress<T>(
  attempt: (isRetry: boolean) => Promise<T>,
  policy: RetryPolicy,
  hooks: RetryHooks,
): Promise<T> {
  let vetoed = false;
  let firstFailure: TryAgain | undefined;
  try {
    return await attempt(false);
  } catch (error) {
    if (!(error instanceof TryAgain)) throw error;
    firstFailure = error;
  }
  // Nearly all first attempts succeed, without what p-retry sets up for each.
  const { signal } = hooks.interruption;
  const nextAttempt = () => {
    const failure = firstFailure;
    firstFailure = undefined;
    if (failure !== undefined) throw failure;
    return attempt(true);
  };
  try {
    return await pRetry(nextAttempt, {
      retries: policy.retries,
      // The wait is ours, below: p-retry has neither full jitter nor Retry-After.
      minTimeout: 0,
      signal,
      shouldRetry: ({ error }) => error instanceof TryAgain && !vetoed,
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
        if (!(error instanceof TryAgain) || retriesLeft === 0) return;
        const leftMs = policy.noProgressTimeoutMs - hooks.failingForMs();
        if (leftMs <= 0) throw noProgress(policy, error.refusal.error);
        const waitMs = backOffMs(attemptNumber, policy, error.refusal, hooks.random);
        const decision: RetryDecision = {
          attempt: attemptNumber,
          delayMs: Math.round(Math.min(waitMs, leftMs, hooks.longestWaitMs())),
          error: error.refusal.error,
        };
        vetoed = !(await ask(policy, decision));
        if (vetoed) return;
        hooks.onRetry(decision);
        await hooks.sleep(decision.delayMs, signal);
      },
    });
  } catch (error) {
    throw error instanceof TryAgain ? error.refusal.error : error;
  }
}

/** Full jitter: anything up to the bound, so that many clients do not return at once. */
export function backOffMs(
  attempt: number,
  policy: Pick<RetryPolicy, 'minRetryDelayMs' | 'maxRetryDelayMs' | 'maxRetryAfterMs'>,
  refusal: Pick<Refusal, 'retryAfterMs'>,
  random: () => number,
): number {
  const boundMs = Math.min(policy.maxRetryDelayMs, policy.minRetryDelayMs * 2 ** (attempt - 1));
  const askedMs = Math.min(refusal.retryAfterMs ?? 0, policy.maxRetryAfterMs);
  return Math.max(boundMs * random(), askedMs);
}

async function ask(policy: RetryPolicy, decision: RetryDecision): Promise<boolean> {
  try {
    return await policy.shouldRetry(decision);
  } catch (cause) {
    throw new BitsArgumentError('the shouldRetry function threw; see the cause', { cause });
  }
}

function noProgress(policy: RetryPolicy, cause: BitsError): BitsError {
  const seconds = Math.round(policy.noProgressTimeoutMs / 1000);
  return new BitsError(
    'BITS_ERR_NO_PROGRESS',
    `nothing got any further for ${seconds} s after a failure (noProgressTimeoutMs); the last failure was: ` +
      cause.message,
    { cause, retryable: true },
  );
}
