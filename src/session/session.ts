import { BitsArgumentError, type BitsError, BitsStateError } from '../errors.js';
import type { Ack, HostId, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import { createFragmentSizer, type FragmentSizer } from './fragment-sizer.js';

/**
 * Where an upload stands, named after [MC-BUP] §3.1.1.2.
 *
 * `suspended` and `error` wait for the caller; `completed`, `cancelled` and `failed` are final.
 */
export type SessionState =
  | 'init'
  | 'create-session'
  | 'ping'
  | 'fragment'
  | 'get-reply'
  | 'close-session'
  | 'cancel-session'
  | 'suspended'
  | 'error'
  | 'completed'
  | 'cancelled'
  | 'failed';

/** `required`: no reply URL is an error; `optional`: it is accepted; `none`: a reply is not fetched. */
export type ReplyExpectation = 'none' | 'required' | 'optional';

/** What the caller decided before the upload began; it never changes during one. */
export interface SessionPlan {
  readonly totalBytes: number;
  readonly contentName: string;
  readonly reply: ReplyExpectation;
  /** For servers that append a fragment again when it is sent again. */
  readonly onUncertainFragment: 'resend' | 'restart';
  /** How often a lost session may be begun again from byte 0. */
  readonly maxRestarts: number;
  /** How many answers in a row may ask for an offset that brings no progress. */
  readonly maxResyncs: number;
  readonly maxCancelAttempts: number;
}

/** Which server a packet goes to: the remote URL's, or the one named by `BITS-Host-Id`. */
export type Target = 'origin' | 'host-id';

/** Why a session is cancelled: by the caller, because the job failed, or to begin another one. */
export type AfterCancel =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: BitsError }
  | { readonly kind: 'create-session' };

export interface Session {
  readonly state: SessionState;
  readonly plan: SessionPlan;
  /** What the session waits for; nothing else is a legal event. */
  readonly awaiting: 'start' | 'answer' | 'retry' | 'reply' | 'caller' | 'nothing';
  readonly sessionId: string | undefined;
  readonly hostId: HostId | undefined;
  readonly hostIdFallbackTimeoutMs: number | undefined;
  /** Every byte below it is acknowledged. */
  readonly offset: number;
  /** End of the furthest byte commanded in this session. */
  readonly sentTo: number;
  /** The fragment on the wire, or whose fate is unknown. */
  readonly pending: { readonly start: number; readonly end: number } | undefined;
  /** Start of the fragment that reached the total, for sending it again ([MC-BUP] §3.2.5.1.2). */
  readonly lastFragmentStart: number | undefined;
  /** A request was interrupted, so the server's offset is not known. */
  readonly uncertain: boolean;
  /** The last fragment was answered: when no reply URL came with it, there is no reply. */
  readonly lastAnswered: boolean;
  readonly replyUrl: string | undefined;
  readonly replyStored: boolean;
  /** A Close went out whose answer did not come. */
  readonly closeUncertain: boolean;
  /** Taken up again, and the server has not shown since that it still has the session. */
  readonly unproven: boolean;
  readonly everAcked: boolean;
  /** Highest offset acknowledged in this session. */
  readonly sessionBestOffset: number;
  /** Highest offset acknowledged in any session: only going beyond it is progress. */
  readonly bestOffset: number;
  /** Rises with every step forward; starts the count of retries anew. */
  readonly progress: number;
  readonly restarts: number;
  readonly resyncs: number;
  readonly cancelAttempts: number;
  /** An earlier Cancel may have freed the session, though no answer said so. */
  readonly cancelUncertain: boolean;
  readonly afterCancel: AfterCancel;
  /** No answer came, or the session rested, since the server last took a fragment. */
  readonly cut: boolean;
  /** Refusals of the first fragment after an interruption, which may mean a forgotten session. */
  readonly suspicions: number;
  readonly sizer: FragmentSizer;
}

export type SessionEvent =
  | { readonly type: 'start' }
  | { readonly type: 'acked'; readonly ack: Ack; readonly elapsedMs: number }
  | { readonly type: 'failed'; readonly refusal: Refusal }
  /** The back-off after a `wait` is over. */
  | { readonly type: 'retryDue' }
  /** The caller's limits allow no further attempt. */
  | { readonly type: 'gaveUp'; readonly error: BitsError }
  | { readonly type: 'replyStored' }
  /** Nothing is at the reply's URL: it was deleted, with its session perhaps. */
  | { readonly type: 'replyGone'; readonly error: BitsError }
  | { readonly type: 'suspendRequested' }
  | { readonly type: 'resumeRequested' }
  | { readonly type: 'cancelRequested' }
  | { readonly type: 'sourceChanged'; readonly error: BitsError }
  /** `BITS-Host-Id-Fallback-Timeout` ran out while the host-id's server failed. */
  | { readonly type: 'fallbackExpired' };

export type Outcome =
  /** `presumed`: the answer to Close was lost, and the server no longer knows the session. */
  | { readonly kind: 'completed'; readonly closed: 'acknowledged' | 'presumed' }
  /** `freed`: whether the server is known to have dropped the session. */
  | { readonly kind: 'cancelled'; readonly freed: boolean }
  | { readonly kind: 'failed'; readonly error: BitsError; readonly resumable: boolean };

export type Command =
  | { readonly type: 'send'; readonly packet: RequestPacket; readonly target: Target }
  /** `replyUrl` as the server wrote it. */
  | { readonly type: 'download'; readonly replyUrl: string }
  /** Something failed that may pass: send `retryDue` after a back-off, or `gaveUp`. */
  | { readonly type: 'wait'; readonly refusal: Refusal }
  | { readonly type: 'pause' }
  | { readonly type: 'finish'; readonly outcome: Outcome };

/** What has to survive a restart of the process for the session to go on. */
export interface SessionSnapshot {
  readonly sessionId: string | undefined;
  readonly hostId: HostId | undefined;
  readonly hostIdFallbackTimeoutMs: number | undefined;
  readonly offset: number;
  readonly lastFragmentStart: number | undefined;
  readonly replyUrl: string | undefined;
  readonly replyStored: boolean;
  readonly closeUncertain: boolean;
}

export interface SizerOptions {
  readonly fixedBytes?: number | undefined;
  readonly capBytes?: number | undefined;
}

/**
 * A session that has sent nothing yet.
 * @throws BITS_ERR_ARGUMENT for a reply to an empty file, which no Fragment could ask for
 */
export function createSession(plan: SessionPlan, sizer: SizerOptions = {}): Session {
  if (plan.totalBytes === 0 && plan.reply === 'required') {
    throw new BitsArgumentError(
      'an empty file cannot get a reply: the server announces it on the last fragment, and an ' +
        'empty file has none. Upload at least one byte, or make the reply optional.',
    );
  }
  return {
    state: 'init',
    plan,
    awaiting: 'start',
    sessionId: undefined,
    hostId: undefined,
    hostIdFallbackTimeoutMs: undefined,
    offset: 0,
    sentTo: 0,
    pending: undefined,
    lastFragmentStart: undefined,
    uncertain: false,
    lastAnswered: false,
    replyUrl: undefined,
    replyStored: false,
    closeUncertain: false,
    unproven: false,
    everAcked: false,
    sessionBestOffset: 0,
    bestOffset: 0,
    progress: 0,
    restarts: 0,
    resyncs: 0,
    cancelAttempts: 0,
    cancelUncertain: false,
    afterCancel: { kind: 'cancelled' },
    cut: false,
    suspicions: 0,
    sizer: createFragmentSizer(sizer),
  };
}

/**
 * A suspended session that goes on, after `resumeRequested`, where another process left it.
 *
 * What was sent after the snapshot is not known, so the server's offset is believed up to the total.
 */
export function restoreSession(
  plan: SessionPlan,
  snapshot: SessionSnapshot,
  sizer: SizerOptions = {},
): Session {
  const fresh = createSession(plan, sizer);
  const offset = Math.min(snapshot.offset, plan.totalBytes);
  return {
    ...fresh,
    ...snapshot,
    state: 'suspended',
    awaiting: 'caller',
    offset,
    sentTo: plan.totalBytes,
    uncertain: offset < plan.totalBytes,
    lastAnswered: offset === plan.totalBytes,
    everAcked: snapshot.sessionId !== undefined,
    sessionBestOffset: offset,
    bestOffset: offset,
  };
}

export function snapshotOf(session: Session): SessionSnapshot {
  const { sessionId, hostId, hostIdFallbackTimeoutMs } = session;
  const { lastFragmentStart, replyUrl, replyStored } = session;
  // With all bytes acknowledged only the last fragment is ever unsettled, sent again for its answer.
  const complete = session.offset === session.plan.totalBytes;
  const settled = session.pending === undefined && !session.uncertain;
  const offset = complete && !settled ? (lastFragmentStart ?? session.offset) : session.offset;
  const closing = session.state === 'close-session' && session.awaiting === 'answer';
  // Once a Cancel is out, a server that does not know the session proves nothing of a Close before.
  const cancelling = session.state === 'cancel-session' || session.cancelUncertain;
  return {
    sessionId,
    hostId,
    hostIdFallbackTimeoutMs,
    offset,
    lastFragmentStart,
    replyUrl,
    replyStored,
    closeUncertain: !cancelling && (session.closeUncertain || closing),
  };
}

export function isFinal(state: string): boolean {
  return state === 'completed' || state === 'cancelled' || state === 'failed';
}

/** True while a reply must still be downloaded before the session may be closed. */
export function owesReply(session: Session): boolean {
  const { reply, totalBytes } = session.plan;
  if (reply === 'none' || session.replyStored || totalBytes === 0) return false;
  return reply === 'required' || session.replyUrl !== undefined || !session.lastAnswered;
}

/**
 * The guard of Close-Session: the server deletes an incomplete upload and any reply at Close.
 * @throws BITS_ERR_STATE while a byte is unacknowledged or a reply is owed ([MC-BUP] §3.1.5.1.5)
 */
export function assertMayClose(session: Session): void {
  if (session.sessionId === undefined) {
    throw new BitsStateError('nothing to close: the server has given no session yet');
  }
  if (session.offset < session.plan.totalBytes) {
    throw new BitsStateError(
      `closing now would delete the upload: the server has acknowledged ${session.offset} of ` +
        `${session.plan.totalBytes} bytes. Wait for the result, or cancel.`,
    );
  }
  if (owesReply(session)) {
    throw new BitsStateError(
      'closing now would delete the reply, which is not stored yet. Wait for the result, or cancel.',
    );
  }
}
