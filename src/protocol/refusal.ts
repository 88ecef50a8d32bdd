import type { BitsError } from '../errors.js';

/**
 * What a refusal means for the upload; the session decides by it what to send next.
 *
 * - `transient`: the same packet may succeed later.
 * - `fatal`: it will not, without a change by the user or an administrator.
 * - `session-not-found`: the server has no such session (0x8020001F).
 * - `out-of-step`: the server wants another offset ({@link Refusal.nextOffset}).
 * - `fragment-too-large`: 413.
 * - `maybe-too-large`: 404 on a Fragment, which IIS 7 also sends when a request is too long.
 * - `misfit`: an ack that cannot belong to the packet, such as one with an offset for a Close: answers
 *   on this connection may have been shifted by one.
 * - `not-bits`: a success status without `BITS-Packet-Type: Ack`, as a captive portal sends.
 * - `unauthorized`: 401 or 407, for which the transport had no accepted credentials.
 * - `redirect`: 3xx with a {@link Refusal.location}.
 */
export type RefusalMeaning =
  | 'transient'
  | 'fatal'
  | 'session-not-found'
  | 'out-of-step'
  | 'fragment-too-large'
  | 'maybe-too-large'
  | 'misfit'
  | 'not-bits'
  | 'unauthorized'
  | 'redirect';

/** A refused packet, or one without an answer, as the session sees it. */
export interface Refusal {
  readonly meaning: RefusalMeaning;
  /** What the caller gets when the upload ends with this. */
  readonly error: BitsError;
  /** The offset that the server asked for, with `out-of-step`. */
  readonly nextOffset?: number;
  /** A reply URL in an out-of-step answer. */
  readonly replyUrl?: string;
  /** How long the server asked to wait. */
  readonly retryAfterMs?: number;
  /** Where a redirect points, unresolved. */
  readonly location?: string;
  /** True when no byte of the request can have been sent, so that it had no effect. */
  readonly unsent?: boolean;
  /** True when a connection that was used before ended before any byte of the answer. */
  readonly staleConnection?: boolean;
  /** True when the refusal has an error header of BITS, so that it is a BITS server that refuses. */
  readonly isFromBits?: boolean;
}
