import type { BitsError } from '../errors.js';

/**
 * What a refusal means for the upload; the session decides by it what to send next.
 *
 * - `transient`: the same packet may succeed later.
 * - `fatal`: it will not, without a change by the user or an administrator.
 * - `session-not-found`: the server has no such session (0x8020001F).
 * - `out-of-step`: the server wants another offset ({@link Refusal.nextOffset}).
 * - `fragment-too-large`: 413.
 * - `maybe-too-large`: 404 on a Fragment, IIS 7's answer to an over-long request among other causes.
 * - `not-bits`: a success status without `BITS-Packet-Type: Ack`, as a captive portal sends.
 * - `unauthorized`: 401 or 407 that the transport could not answer.
 * - `redirect`: 3xx with a {@link Refusal.location}.
 */
export type RefusalMeaning =
  | 'transient'
  | 'fatal'
  | 'session-not-found'
  | 'out-of-step'
  | 'fragment-too-large'
  | 'maybe-too-large'
  | 'not-bits'
  | 'unauthorized'
  | 'redirect';

/** An answer that is no success, or the lack of any answer, as the session sees it. */
export interface Refusal {
  readonly meaning: RefusalMeaning;
  /** What the caller gets to see when the upload ends with this. */
  readonly error: BitsError;
  /** The offset that the server asked for, with `out-of-step`. */
  readonly nextOffset?: number;
  /** A reply URL that came with an out-of-step answer. */
  readonly replyUrl?: string;
  /** How long the server asked to wait. */
  readonly retryAfterMs?: number;
  /** Where a redirect points, unresolved. */
  readonly location?: string;
  /** True when no byte of the request can have left, so that it had no effect. */
  readonly unsent?: boolean;
}
