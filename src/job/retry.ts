import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { abortError } from '../common/abort.js';
import type { Schedule } from '../common/clock.js';
import { BitsError } from '../errors.js';
import type { Refusal } from '../protocol/refusal.js';
import type { Command, SessionEvent } from '../session/session.js';
import type { RetryOptions } from './options.js';

/** Thrown by an attempt that may be repeated; p-retry takes only `Error`s that are no TypeError. */
export class TryAgain extends Error {
  readonly refusal: Refusal;
  readonly waitsFor: 'reply' | undefined;
  constructor({ refusal, waitsFor }: Extract<Command, { type: 'wait' }>) {
    super(refusal.error.message);
    this.refusal = refusal;
    this.waitsFor = waitsFor;
  }
}

/** A packet that a stop kept back: it changed nothing on the server, and the driver notices the stop. */
export function notSent(signal: AbortSignal): SessionEvent {
  const error = abortError(signal) as BitsError;
  return { type: 'failed', refusal: { meaning: 'transient', error, unsent: true } };
}

/** A failed connection attempt costs nothing, so it is tried again soon. */
const MAX_UNSENT_DELAY_MS = 5000;

/** Full jitter: anything up to the bound, so that many clients do not return at once. */
export function backOffMs(
  attempt: number,
  retry: Pick<RetryOptions, 'minDelayMs' | 'maxDelayMs' | 'maxRetryAfterMs'>,
  refusal: Pick<Refusal, 'retryAfterMs' | 'unsent'>,
  random: () => number,
): number {
  const mostMs = refusal.unsent
    ? Math.min(retry.maxDelayMs, MAX_UNSENT_DELAY_MS)
    : retry.maxDelayMs;
  const boundMs = Math.min(mostMs, retry.minDelayMs * 2 ** (attempt - 1));
  const askedMs = Math.min(refusal.retryAfterMs ?? 0, retry.maxRetryAfterMs);
  return Math.max(boundMs * random(), askedMs);
}

export function noProgress(limitMs: number, cause: BitsError): BitsError {
  return new BitsError(
    'BITS_ERR_NO_PROGRESS',
    `There was no progress for ${limitMs / 1000} s (timeouts.noProgressMs). The last failure: ${cause.message}`,
    { cause, retryable: true },
  );
}

/** How often a wait looks for an address that this machine did not have. */
const LOOK_MS = 1000;

/**
 * Calls back when this machine gets an address that it did not have: a network may be back.
 * @returns what stops it
 */
export function onNetworkReturn(
  callback: () => void,
  schedule: Schedule,
  addresses: () => ReadonlySet<string> = localAddresses,
): () => void {
  const before = addresses();
  const look = (): void => {
    if ([...addresses()].some((address) => !before.has(address))) callback();
    else dismiss = schedule(look, LOOK_MS);
  };
  let dismiss = schedule(look, LOOK_MS);
  return () => dismiss();
}

function localAddresses(): ReadonlySet<string> {
  const addresses = new Set<string>();
  for (const { address, internal } of interfaces()) if (!internal) addresses.add(address);
  return addresses;
}

/** Some systems do not tell, such as Android: then nothing is ever new. */
function interfaces(): readonly NetworkInterfaceInfo[] {
  try {
    return Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  } catch {
    return [];
  }
}
