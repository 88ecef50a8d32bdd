import { BitsArgumentError, type BitsError, BitsStateError } from '../errors.js';
import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
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
  /** `restart`: for servers that append a fragment once more when it is sent once more. */
  readonly onUncertainFragment: 'resend' | 'restart';
  /** The transport may send a request again by itself, so any packet may arrive twice. */
  readonly mayResend?: boolean;
  /** How often the upload may start over from byte 0. */
  readonly maxRestarts: number;
  /** How many offsets in a row may bring no progress. */
  readonly maxResyncs: number;
  readonly maxCancelAttempts: number;
}

/** Which server a packet goes to: the one of the remote URL, or the one that `BITS-Host-Id` names. */
export type Target = 'origin' | 'host-id';

/** Why a session is cancelled: for the caller, because the job failed, or to start over. */
export type AfterCancel =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: BitsError }
  | { readonly kind: 'create-session' };

/**
 * What the session cannot know until an answer says so.
 *
 * A new session with the server begins without a doubt. {@link step} says what raises and ends each.
 */
export interface Doubt {
  /** The server may hold other bytes than those below `offset`. */
  readonly offset: boolean;
  /** The offset that a probe was answered with, until a second probe confirms it. */
  readonly probed: number | undefined;
  /** The server may hold bytes twice, so that only another session can be trusted. */
  readonly doubled: boolean;
  /** A Close may have put the file in place: the server failed to answer it, or the answer was lost. */
  readonly closed: 'no' | 'failed' | 'unanswered';
  /** A Cancel may have ended the session, though no answer said so. */
  readonly cancelled: boolean;
  /** The session rested or moved, and the server has not shown since that it has it. */
  readonly unconfirmed: boolean;
  /** There is nothing at the reply's URL; the server may name another one. */
  readonly replyGone: boolean;
  /** A request got no answer, or the session rested: the server may have forgotten the session. */
  readonly forgotten: boolean;
  /** How often the server failed in a way that a forgotten session would explain. */
  readonly suspicions: number;
  /** The refusal that a forgotten session would explain, while a Ping is to tell. */
  readonly suspect: Suspect | undefined;
}

export interface Suspect {
  /** `close-session`: when the session is gone, an earlier Close has ended it. */
  readonly packet: 'fragment' | 'close-session';
  readonly error: BitsError;
}

/** A fragment on the wire; a probe repeats bytes that the server has, only to be told its offset. */
export interface Pending {
  readonly start: number;
  readonly end: number;
  readonly isProbe: boolean;
}

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
  /** End of the furthest byte sent in this session. */
  readonly sentTo: number;
  /** The fragment on the wire. */
  readonly pending: Pending | undefined;
  /** The last fragment was answered: when no reply URL came with it, there is no reply. */
  readonly lastAnswered: boolean;
  readonly replyUrl: string | undefined;
  readonly replyStored: boolean;
  readonly doubt: Doubt;
  /** Some packet was acknowledged, so a BITS server is there. */
  readonly everAcked: boolean;
  /** Highest offset in this session that counted as progress. */
  readonly sessionBestOffset: number;
  /** Highest offset in any session that counted as progress: only an offset beyond it is progress. */
  readonly bestOffset: number;
  /** End of the furthest byte sent in any session. */
  readonly furthestSent: number;
  /** Bytes sent again since the caller's last resume. */
  readonly resentBytes: number;
  /** Rises with every step forward; retries are counted from the last rise. */
  readonly progress: number;
  /** Packets go over new connections until the next progress, for the last one broke or misled. */
  readonly newConnection: boolean;
  readonly restarts: number;
  /** Why the upload started over last, as a sentence without its end. */
  readonly restartReason: string | undefined;
  /** How often in a row the upload started over because its first fragment was in doubt. */
  readonly uselessStarts: number;
  readonly resyncs: number;
  readonly cancelAttempts: number;
  readonly afterCancel: AfterCancel;
  readonly sizer: FragmentSizer;
}

const NO_DOUBT: Doubt = {
  offset: false,
  probed: undefined,
  doubled: false,
  closed: 'no',
  cancelled: false,
  unconfirmed: false,
  replyGone: false,
  forgotten: false,
  suspicions: 0,
  suspect: undefined,
};

/** What a new session with the server begins with; the other fields belong to the whole upload. */
export const FRESH = {
  sessionId: undefined,
  hostId: undefined,
  hostIdFallbackTimeoutMs: undefined,
  offset: 0,
  sentTo: 0,
  pending: undefined,
  lastAnswered: false,
  replyUrl: undefined,
  replyStored: false,
  doubt: NO_DOUBT,
  sessionBestOffset: 0,
  resyncs: 0,
} satisfies Partial<Session>;

/** Whole, because an object that is put together field by field takes twenty times as long. */
const NOT_STARTED: Omit<Session, 'plan' | 'sizer'> = {
  ...FRESH,
  state: 'init',
  awaiting: 'start',
  everAcked: false,
  bestOffset: 0,
  furthestSent: 0,
  resentBytes: 0,
  progress: 0,
  newConnection: false,
  restarts: 0,
  restartReason: undefined,
  uselessStarts: 0,
  cancelAttempts: 0,
  afterCancel: { kind: 'cancelled' },
};

export type SessionEvent =
  | { readonly type: 'start' }
  | { readonly type: 'acked'; readonly ack: Ack; readonly elapsedMs: number }
  | { readonly type: 'failed'; readonly refusal: Refusal }
  /** The back-off after a `wait` is over. */
  | { readonly type: 'retryDue' }
  /** The limits of the caller allow no further attempt. */
  | { readonly type: 'gaveUp'; readonly error: BitsError }
  | { readonly type: 'replyStored' }
  /** There is nothing at the reply's URL: it was deleted, perhaps with its session. */
  | { readonly type: 'replyGone'; readonly error: BitsError }
  | { readonly type: 'suspendRequested' }
  | { readonly type: 'resumeRequested' }
  | { readonly type: 'cancelRequested' }
  | { readonly type: 'sourceChanged'; readonly error: BitsError }
  /** `BITS-Host-Id-Fallback-Timeout` expired while the host-id's server failed. */
  | { readonly type: 'fallbackExpired' };

export type Outcome =
  /** `presumed`: no answer confirmed a Close, and the server does not know the session any more. */
  | { readonly kind: 'completed'; readonly closed: 'acknowledged' | 'presumed' }
  /** `freed`: whether the server is known to have deleted the session; `error`: why it is not. */
  | { readonly kind: 'cancelled'; readonly freed: boolean; readonly error?: BitsError }
  | { readonly kind: 'failed'; readonly error: BitsError; readonly resumable: boolean };

export type Command =
  | {
      readonly type: 'send';
      readonly packet: RequestPacket;
      readonly target: Target;
      /** Not to go over a connection that was used before. */
      readonly newConnection: boolean;
    }
  /** `replyUrl` as the server wrote it. */
  | { readonly type: 'download'; readonly replyUrl: string }
  /**
   * A temporary failure: send `retryDue` after a back-off, or `gaveUp`. `waitsFor`: nothing failed, but
   * the server's application has not made the reply yet.
   */
  | { readonly type: 'wait'; readonly refusal: Refusal; readonly waitsFor?: 'reply' }
  | { readonly type: 'pause' }
  | { readonly type: 'finish'; readonly outcome: Outcome };

/** What has to survive the end of the process, so that another one can resume the session. */
export interface SessionSnapshot {
  readonly sessionId: string | undefined;
  readonly hostId: HostId | undefined;
  readonly hostIdFallbackTimeoutMs: number | undefined;
  readonly offset: number;
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
 * @throws BITS_ERR_ARGUMENT when a reply to an empty file is required: no Fragment could ask for it;
 *   and when a fragment must not be sent twice by a transport that may do so
 */
export function createSession(plan: SessionPlan, sizer: SizerOptions = {}): Session {
  if (plan.totalBytes === 0 && plan.reply === 'required') {
    throw new BitsArgumentError(
      'An empty file cannot get a reply: the server announces the reply in its answer to the last ' +
        'fragment, and an empty file has none. Upload at least one byte, or make the reply optional.',
    );
  }
  if (plan.mayResend && plan.onUncertainFragment === 'restart') {
    throw new BitsArgumentError(
      "onUncertainFragment: 'restart' is not possible with this transport: it may send a request " +
        'again by itself, and nobody would know. Use another transport, or another server.',
    );
  }
  return { ...NOT_STARTED, plan, sizer: createFragmentSizer(sizer) };
}

/**
 * A suspended session that resumes, after `resumeRequested`, where another process left it.
 *
 * What was sent after the snapshot is unknown, so any offset up to the total is believed.
 */
export function restoreSession(
  plan: SessionPlan,
  snapshot: SessionSnapshot,
  sizer: SizerOptions = {},
): Session {
  const { closeUncertain, ...recorded } = snapshot;
  const offset = Math.min(snapshot.offset, plan.totalBytes);
  return {
    ...createSession(plan, sizer),
    ...recorded,
    state: 'suspended',
    awaiting: 'caller',
    offset,
    sentTo: plan.totalBytes,
    lastAnswered: offset === plan.totalBytes,
    doubt: {
      ...NO_DOUBT,
      offset: offset < plan.totalBytes,
      closed: closeUncertain ? 'unanswered' : 'no',
    },
    everAcked: snapshot.sessionId !== undefined,
    sessionBestOffset: offset,
    bestOffset: offset,
    furthestSent: offset,
  };
}

/** The session with fragments that are no larger: a transport or a server may take no more. */
export function capFragments(session: Session, capBytes: number): Session {
  const { sizer } = session;
  const cap = Math.max(MIN_FRAGMENT_BYTES, Math.min(sizer.capBytes, capBytes));
  const bytes = Math.min(sizer.bytes, cap);
  return { ...session, sizer: { ...sizer, capBytes: cap, bytes } };
}

/** What to record of a session, also while a packet is on its way whose effect nobody knows. */
export function snapshotOf(session: Session): SessionSnapshot {
  const { sessionId, hostId, hostIdFallbackTimeoutMs, doubt } = session;
  const { replyUrl, replyStored, plan } = session;
  // An offset at the total means that the last fragment was answered, so that nobody asks again.
  const mustAsk = owesReply(session) && replyUrl === undefined && !session.lastAnswered;
  const isAsking = session.pending !== undefined || doubt.offset || mustAsk;
  const offset = isAsking
    ? Math.max(0, Math.min(session.offset, plan.totalBytes - 1))
    : session.offset;
  const closing = session.state === 'close-session' && session.awaiting === 'answer';
  const cancelling = session.state === 'cancel-session' || doubt.cancelled;
  const snapshot = {
    sessionId,
    hostId,
    hostIdFallbackTimeoutMs,
    offset,
    replyUrl,
    replyStored,
    closeUncertain: doubt.closed === 'unanswered' || (closing && !doubt.unconfirmed),
  };
  return cancelling ? snapshotAfterCancel(snapshot) : snapshot;
}

/** A session of which a Cancel may have been received that nobody waited for. */
export function maybeCancelled(session: Session): Session {
  return { ...session, doubt: { ...session.doubt, cancelled: true } };
}

/**
 * As {@link maybeCancelled}, of a record: a server that does not know the session after a Cancel
 * proves nothing of a Close before it.
 */
export function snapshotAfterCancel(snapshot: SessionSnapshot): SessionSnapshot {
  return { ...snapshot, closeUncertain: false };
}

/** What the user should know of an upload that completed; the codes are stable, in kebab-case. */
export function completionWarnings(
  { totalBytes }: SessionPlan,
  { closed }: Extract<Outcome, { kind: 'completed' }>,
): readonly { readonly code: 'close-presumed' | 'empty-file'; readonly message: string }[] {
  return [
    ...(closed === 'presumed' ? [CLOSE_PRESUMED] : []),
    ...(totalBytes === 0 ? [EMPTY_FILE] : []),
  ];
}

const CLOSE_PRESUMED = {
  code: 'close-presumed',
  message:
    'No answer confirmed Close-Session, and the server does not know the session any more, so the file ' +
    'is presumed to be in place.',
} as const;

const EMPTY_FILE = {
  code: 'empty-file',
  message: 'The file is empty. Some servers do not store empty files: check that it is there.',
} as const;

/** How many bytes may be sent again, whatever else happens, before the upload ends. */
export function resendBudget(totalBytes: number): number {
  return 8 * totalBytes + 64 * 1024 * 1024;
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
    throw new BitsStateError('There is nothing to close: the server has not created a session yet');
  }
  if (session.offset < session.plan.totalBytes) {
    throw new BitsStateError(
      `To close now would delete the upload: the server has acknowledged ${session.offset} of ` +
        `${session.plan.totalBytes} bytes. Wait for the result, or cancel the job.`,
    );
  }
  if (owesReply(session)) {
    throw new BitsStateError(
      'To close now would delete the reply, which is not stored yet. Wait for the result, or cancel ' +
        'the job.',
    );
  }
}
