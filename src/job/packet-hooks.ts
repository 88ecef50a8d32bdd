import { throwIfAborted, unlessAborted } from '../common/abort.js';
import { isCredentialHeader } from '../common/header-fields.js';
import { BitsArgumentError } from '../errors.js';
import type { PacketType } from '../protocol/packets.js';
import { checkHeaders } from './check-headers.js';

/** A packet of the protocol, the GET for the reply, or the HEAD of `put --skip-existing`. */
export type PacketKind = PacketType | 'get-reply' | 'head';

/** One request, as hooks and diagnostics see it: secrets are left out. */
export interface PacketRequest {
  readonly jobId: string;
  readonly packet: PacketKind;
  /** As sent. */
  readonly method: string;
  /** Without the values of a query. */
  readonly url: string;
  /** Without those of the connection; values that may be secret are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

/** The answer to a {@link PacketRequest}, of any status. */
export interface PacketResponse extends Omit<PacketRequest, 'headers' | 'bodyBytes'> {
  readonly status: number;
  /** In lower case; values that may be secret are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  /** From the request to the head of the answer. */
  readonly elapsedMs: number;
}

/**
 * Called before each request; what it returns is sent as headers, such as a correlation id.
 *
 * The protocol's own headers and credentials cannot be set. What it throws ends the job with
 * BITS_ERR_ARGUMENT and the error as `cause`.
 */
export type RequestHook = (
  request: PacketRequest,
) => HookHeaders | undefined | void | Promise<HookHeaders | undefined> | Promise<void>;

type HookHeaders = Readonly<Record<string, string>>;

/** Called with each answer; what it throws ends the job as with {@link RequestHook}. */
export type ResponseHook = (response: PacketResponse) => void | Promise<void>;

/**
 * Asks a function of the caller's, but not longer than the signal lets it.
 * @throws BITS_ERR_ARGUMENT when the function throws
 */
export async function callHook<T>(
  name: string,
  hook: () => T | Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  try {
    return await unlessAborted((async () => hook())(), signal);
  } catch (cause) {
    throwIfAborted(signal);
    throw new BitsArgumentError(`The function ${name} threw an error; see its cause.`, { cause });
  }
}

/** @throws BITS_ERR_ARGUMENT for headers that a hook must not add */
export function checkHookHeaders(headers: HookHeaders): Readonly<Record<string, string>> {
  const checked = checkHeaders(headers);
  const credential = Object.keys(checked).find(isCredentialHeader);
  if (credential === undefined) return checked;
  throw new BitsArgumentError(
    `onRequest returned the header ${credential}, which must not go to every host: use auth or headers.`,
  );
}
