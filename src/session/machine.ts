import { BitsError, BitsProtocolError, BitsServerError } from '../errors.js';
import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
import type { Ack } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import {
  type FragmentSizer,
  fragmentCurtailed,
  fragmentLost,
  fragmentPassed,
  fragmentRefused,
} from './fragment-sizer.js';
import {
  type AfterCancel,
  assertMayClose,
  type Command,
  type Outcome,
  owesReply,
  type Session,
  type SessionEvent,
  type SessionState,
  type Target,
} from './session.js';

type Step = readonly [Session, Command];
type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;
type Handlers = {
  readonly [T in SessionEvent['type']]?: (session: Session, event: EventOf<T>) => Step;
};

/** The caller's wishes and the end of its patience mean the same in every live state. */
const live = {
  suspendRequested: suspend,
  cancelRequested: cancelForCaller,
  sourceChanged: cancelForFailure,
  retryDue: proceed,
  gaveUp: (session, { error }) => stop(session, error),
  fallbackExpired: fallBack,
} satisfies Handlers;

const waitingForCaller = {
  resumeRequested: resume,
  cancelRequested: cancelForCaller,
  sourceChanged: cancelForFailure,
} satisfies Handlers;

const table: Readonly<Record<SessionState, Handlers>> = {
  init: {
    start: proceed,
    suspendRequested: suspend,
    cancelRequested: cancelForCaller,
  },
  'create-session': { ...live, acked: created, failed: refused },
  ping: { ...live, acked: pinged, failed: refused },
  fragment: { ...live, acked: fragmentAcked, failed: fragmentFailed },
  'get-reply': { ...live, replyStored, replyGone, failed: refused },
  'close-session': { ...live, acked: closed, failed: closeFailed },
  'cancel-session': {
    acked: cancelAcked,
    failed: cancelFailed,
    retryDue: sendCancel,
    gaveUp: cancelGivenUp,
    fallbackExpired: (session) => sendCancel(atOrigin(session)),
    suspendRequested: suspend,
    cancelRequested: cancelForCaller,
  },
  suspended: waitingForCaller,
  error: waitingForCaller,
  completed: {},
  cancelled: {},
  failed: {},
};

/** Which event a session may get while it waits for something; wishes of the caller always may come. */
const awaited: Readonly<Partial<Record<SessionEvent['type'], readonly Session['awaiting'][]>>> = {
  acked: ['answer'],
  failed: ['answer', 'reply'],
  replyStored: ['reply'],
  replyGone: ['reply'],
  retryDue: ['retry'],
  gaveUp: ['retry', 'answer'],
  fallbackExpired: ['retry'],
};

/**
 * The next state and the one thing to do, for an event in a state.
 *
 * Pure: no I/O, no clock. A pair that cannot happen throws a plain `Error`, because it is a bug.
 */
export function step(session: Session, event: SessionEvent): Step {
  const handler = table[session.state][event.type] as
    | ((session: Session, event: SessionEvent) => Step)
    | undefined;
  const legal = awaited[event.type]?.includes(session.awaiting) ?? true;
  if (handler === undefined || !legal) {
    throw new Error(
      `session machine: ${event.type} in ${session.state} while awaiting ${session.awaiting}`,
    );
  }
  return handler(session, event);
}

/** What the facts ask for next; every way forward comes through here. */
function proceed(session: Session): Step {
  if (session.state === 'ping' && session.awaiting === 'retry') return sendPing(session);
  if (session.sessionId === undefined) return sendCreate(session);
  if (session.uncertain && session.plan.onUncertainFragment === 'restart') {
    return cancelFirst(session, { kind: 'create-session' });
  }
  if (session.offset < session.plan.totalBytes) return sendFragment(session);
  if (owesReply(session)) {
    return session.replyUrl === undefined ? sendFragment(session) : download(session);
  }
  return sendClose(session);
}

function sendCreate(session: Session): Step {
  const fresh: Session = {
    ...session,
    state: 'create-session',
    awaiting: 'answer',
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
    sessionBestOffset: 0,
    resyncs: 0,
    cut: false,
    suspicions: 0,
  };
  return [fresh, { type: 'send', packet: { type: 'create-session' }, target: 'origin' }];
}

function sendPing(session: Session): Step {
  return [
    { ...session, state: 'ping', awaiting: 'answer', pending: undefined },
    { type: 'send', packet: { type: 'ping' }, target: targetOf(session) },
  ];
}

function sendFragment(session: Session): Step {
  const { totalBytes, contentName } = session.plan;
  const { start, end } = nextRange(session);
  const next: Session = {
    ...session,
    state: 'fragment',
    awaiting: 'answer',
    pending: { start, end },
    sentTo: Math.max(session.sentTo, end),
    lastFragmentStart: end === totalBytes ? start : session.lastFragmentStart,
  };
  const range = { start, end, total: totalBytes };
  const packet = { type: 'fragment', sessionId: idOf(session), contentName, range } as const;
  return [next, { type: 'send', packet, target: targetOf(session) }];
}

function nextRange(session: Session): { start: number; end: number } {
  const { offset, lastFragmentStart, sizer, uncertain, plan } = session;
  const total = plan.totalBytes;
  // The server answers a repeated last fragment with the reply URL, and no other one.
  // When it is refused as too large the end of it has to do, or the refusal would go on for ever.
  if (offset === total) {
    const start = lastFragmentStart ?? Math.max(0, total - MIN_FRAGMENT_BYTES);
    return { start: Math.max(start, total - sizer.capBytes), end: total };
  }
  const resendsLast = plan.reply !== 'none' && lastFragmentStart === offset;
  if (uncertain && resendsLast && total - offset <= sizer.capBytes) {
    return { start: offset, end: total };
  }
  // While the server's offset is unknown, a whole fragment could be sent for nothing.
  const bytes = uncertain ? Math.min(MIN_FRAGMENT_BYTES, sizer.bytes) : sizer.bytes;
  return { start: offset, end: Math.min(total, offset + bytes) };
}

function download(session: Session): Step {
  if (session.replyUrl === undefined) throw new Error('session machine: no reply URL');
  return [
    { ...session, state: 'get-reply', awaiting: 'reply', pending: undefined },
    { type: 'download', replyUrl: session.replyUrl },
  ];
}

function sendClose(session: Session): Step {
  assertMayClose(session);
  return [
    { ...session, state: 'close-session', awaiting: 'answer', pending: undefined },
    {
      type: 'send',
      packet: { type: 'close-session', sessionId: idOf(session) },
      target: targetOf(session),
    },
  ];
}

function created(session: Session, event: EventOf<'acked'>): Step {
  const ack = ackOf(event.ack, 'create-session');
  const next: Session = {
    ...forward(session),
    sessionId: ack.sessionId,
    hostId: ack.hostId,
    hostIdFallbackTimeoutMs: ack.hostIdFallbackTimeoutMs,
    cancelUncertain: false,
  };
  return ack.hostId === undefined ? proceed(next) : sendPing(next);
}

function pinged(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'ping');
  if (session.suspicions > 0) return presumeForgotten(session);
  return proceed({ ...forward(session), awaiting: 'nothing' });
}

function presumeForgotten(session: Session): Step {
  const error = new BitsProtocolError(
    'the server answers a Ping and refuses every Fragment: it has forgotten the session, and ' +
      'beginning again did not help. Ask its administrator for the reason in its log.',
  );
  // It is a guess, so at the end a session that may live is kept for the caller to resume.
  return session.restarts < session.plan.maxRestarts
    ? restartCancelling(session, error)
    : stop(session, error);
}

function fragmentAcked(session: Session, event: EventOf<'acked'>): Step {
  const ack = ackOf(event.ack, 'fragment');
  const { end } = pendingOf(session);
  const sizer = sizedBy(session, ack.nextOffset, event.elapsedMs);
  const answeredLast = end === session.plan.totalBytes;
  // A session that takes a fragment was ended by no Cancel.
  const alive: Session = { ...session, sizer, cancelUncertain: false };
  return adoptOffset(alive, ack.nextOffset, ack.replyUrl, answeredLast);
}

function sizedBy(session: Session, nextOffset: number, elapsedMs: number): FragmentSizer {
  const { start, end } = pendingOf(session);
  const bytes = end - start;
  const takenBytes = nextOffset - start;
  if (takenBytes >= bytes) return fragmentPassed(session.sizer, { bytes, elapsedMs });
  // Of a server that went back, or may have had a part already, it says nothing about sizes.
  if (takenBytes <= 0 || session.uncertain) return session.sizer;
  return fragmentCurtailed(session.sizer, { bytes, takenBytes });
}

/** [MC-BUP] §3.1.5.1.4: the server's offset wins, whatever was sent. */
function adoptOffset(
  session: Session,
  nextOffset: number,
  replyUrl: string | undefined,
  answeredLast: boolean,
): Step {
  const { totalBytes, reply } = session.plan;
  const { start, end } = pendingOf(session);
  if (nextOffset > totalBytes || nextOffset > session.sentTo) {
    return resync(
      session,
      new BitsProtocolError(
        `the server claims to hold ${nextOffset} bytes, but only ${session.sentTo} of the file's ` +
          `${totalBytes} were sent. Another upload may be writing to the same URL.`,
      ),
    );
  }
  const complete = nextOffset === totalBytes;
  const known: Session = {
    ...session,
    pending: undefined,
    uncertain: false,
    unproven: false,
    suspicions: 0,
    offset: nextOffset,
    lastAnswered: complete && (session.lastAnswered || end === totalBytes),
    replyUrl: complete ? (replyUrl ?? session.replyUrl) : undefined,
  };
  if (complete && reply === 'required' && known.replyUrl === undefined) {
    const missing = new BitsError(
      'BITS_ERR_REPLY',
      'the server took the whole file but announced no reply (no BITS-Reply-URL). Check that ' +
        'upload-reply is enabled for this directory (BITSServerNotificationType), or make the ' +
        'reply optional.',
    );
    // An acknowledgement that carried the URL may have been lost; the last fragment brings it again.
    return answeredLast ? stop(known, missing) : resync(known, missing);
  }
  if (nextOffset > session.sessionBestOffset) {
    return proceed({
      ...forward(known),
      resyncs: 0,
      sessionBestOffset: nextOffset,
      bestOffset: Math.max(session.bestOffset, nextOffset),
    });
  }
  if (nextOffset > start || complete) return proceed(known);
  return resync(
    known,
    new BitsProtocolError(
      `the server keeps asking for byte ${nextOffset} and does not take what is sent from there. ` +
        'Check for another upload to the same URL, or a proxy that drops request bodies.',
    ),
  );
}

/** Sends from where the server stands, a bounded number of times without progress. */
function resync(session: Session, error: BitsError): Step {
  const resyncs = session.resyncs + 1;
  if (resyncs > session.plan.maxResyncs) return stop(session, error);
  return proceed({ ...session, resyncs, pending: undefined });
}

function fragmentFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  const { start, end } = pendingOf(session);
  const doubt = suspicion(session, refusal);
  if (doubt !== undefined) return doubt;
  switch (refusal.meaning) {
    case 'out-of-step':
      return refusal.nextOffset === undefined
        ? restartCancelling(session, refusal.error)
        : adoptOffset(session, refusal.nextOffset, refusal.replyUrl, false);
    case 'fragment-too-large':
      return sendSmaller(session, refusal);
    case 'maybe-too-large':
      return end - start > session.sizer.largestPassedBytes
        ? sendSmaller(session, refusal)
        : stop(session, refusal.error);
    case 'transient':
    case 'not-bits':
      if (session.plan.onUncertainFragment === 'restart' && !refusal.unsent) {
        const restarts = session.restarts + 1;
        if (restarts > session.plan.maxRestarts) return stop(session, refusal.error);
        return refused({ ...session, restarts }, { type: 'failed', refusal });
      }
      return refused(session, { type: 'failed', refusal });
    default:
      return refused(session, { type: 'failed', refusal });
  }
}

/**
 * Some servers answer a fragment of a session they have forgotten with 400, 404 or 500. When a Ping
 * still works, the session is what is wrong. A 500 may as well pass, so it is doubted when repeated.
 */
function suspicion(session: Session, refusal: Refusal): Step | undefined {
  if (!session.cut || refusal.meaning === 'session-not-found') return undefined;
  // Such a session begins again after each interruption, and is counted for it.
  if (session.plan.onUncertainFragment === 'restart') return undefined;
  // An HRESULT says what is wrong, so there is nothing to guess.
  if (!(refusal.error instanceof BitsServerError) || refusal.error.hresult !== undefined) {
    return undefined;
  }
  const { status } = refusal.error;
  if (status !== 400 && status !== 404 && status !== 500) return undefined;
  if (status === 500 && session.suspicions === 0) {
    return waitFor({ ...session, suspicions: 1 }, refusal);
  }
  return sendPing({ ...session, suspicions: session.suspicions + 1 });
}

function sendSmaller(session: Session, refusal: Refusal): Step {
  const { start, end } = pendingOf(session);
  const sizer = fragmentRefused(session.sizer, end - start);
  return sizer === undefined
    ? stop(session, refusal.error)
    : sendFragment({ ...session, sizer, pending: undefined });
}

/** What a refusal means for any packet but Close and Cancel. */
function refused(session: Session, { refusal }: EventOf<'failed'>): Step {
  switch (refusal.meaning) {
    case 'transient':
      return waitFor(session, refusal);
    case 'not-bits':
      // Before anything worked it is a wrong URL; afterwards a captive portal, which goes away.
      return session.everAcked ? waitFor(session, refusal) : stop(session, refusal.error);
    case 'session-not-found':
      return restart(session, refusal.error);
    default:
      return stop(session, refusal.error);
  }
}

function replyStored(session: Session): Step {
  return proceed(forward({ ...session, replyStored: true }));
}

/**
 * Replies go with their session. When it may have ended unnoticed, the last fragment sent again tells:
 * its answer names the reply, or says that the session is not found ([MC-BUP] §3.2.5.1.2).
 */
function replyGone(session: Session, { error }: EventOf<'replyGone'>): Step {
  const mayAsk = session.unproven && session.plan.onUncertainFragment === 'resend';
  return mayAsk ? sendFragment(session) : stop(session, error);
}

function closed(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'close-session');
  return finish(session, 'completed', { kind: 'completed', closed: 'acknowledged' });
}

function closeFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  switch (refusal.meaning) {
    case 'session-not-found':
      // A first Close may have worked though its answer was lost. Without one the file is not there.
      return session.closeUncertain && !session.cancelUncertain
        ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
        : restart(session, refusal.error);
    case 'transient':
    case 'not-bits':
      return waitFor(session, refusal);
    default:
      // An answered Close is not uncertain.
      return stop({ ...session, awaiting: 'nothing' }, refusal.error);
  }
}

function waitFor(session: Session, refusal: Refusal): Step {
  const halted = refusal.unsent
    ? { ...session, pending: undefined }
    : interrupted(session, mayHaveTakenEffect(refusal));
  const { error } = refusal;
  const answered = error instanceof BitsServerError || error instanceof BitsProtocolError;
  return [
    { ...halted, awaiting: 'retry', cut: session.cut || !answered },
    { type: 'wait', refusal },
  ];
}

/** After this, what the server did with the fragment or the Close on the wire is unknown. */
function interrupted(session: Session, isLoss = false): Session {
  if (session.state === 'close-session' && session.awaiting === 'answer') {
    return { ...session, closeUncertain: true };
  }
  if (session.pending === undefined) return session;
  return {
    ...session,
    pending: undefined,
    uncertain: true,
    sizer: session.uncertain ? session.sizer : fragmentLost(session.sizer, isLoss),
  };
}

/** As {@link interrupted}, of a packet that nobody waits for any more. */
function cutShort(session: Session): Session {
  const halted = interrupted(session);
  const cancelling = session.state === 'cancel-session' && session.awaiting === 'answer';
  return cancelling ? { ...halted, cancelUncertain: true } : halted;
}

/** The server has lost the session: begin again from byte 0, a bounded number of times. */
function restart(session: Session, error: BitsError): Step {
  const restarts = session.restarts + 1;
  const lost: Session = { ...session, restarts, sessionId: undefined, suspicions: 0 };
  return restarts > session.plan.maxRestarts ? stop(lost, error) : sendCreate(lost);
}

/** As `restart`, for a session that the server may still hold and that would block the URL. */
function restartCancelling(session: Session, error: BitsError): Step {
  const restarts = session.restarts + 1;
  if (restarts > session.plan.maxRestarts) return stop(session, error);
  return cancelFirst({ ...session, restarts }, { kind: 'create-session' });
}

function cancelForCaller(session: Session): Step {
  return cancelFirst(session, { kind: 'cancelled' });
}

function cancelForFailure(session: Session, { error }: EventOf<'sourceChanged'>): Step {
  return cancelFirst(session, { kind: 'failed', error });
}

function cancelFirst(session: Session, next: AfterCancel): Step {
  const leaving: Session = {
    ...cutShort(session),
    pending: undefined,
    cancelAttempts: 0,
    afterCancel: next,
  };
  if (session.sessionId !== undefined) return sendCancel(leaving);
  // A Create-Session on the wire may yet make a session whose id nobody will know.
  const creating = session.state === 'create-session' && session.awaiting === 'answer';
  return afterCancel(leaving, !creating);
}

function sendCancel(session: Session): Step {
  const packet = { type: 'cancel-session', sessionId: idOf(session) } as const;
  return [
    {
      ...session,
      state: 'cancel-session',
      awaiting: 'answer',
      cancelAttempts: session.cancelAttempts + 1,
    },
    { type: 'send', packet, target: targetOf(session) },
  ];
}

function cancelAcked(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'cancel-session');
  return afterCancel(session, true);
}

function cancelFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  if (refusal.meaning === 'session-not-found') {
    // The Cancel came too late: a Close whose answer was not awaited had put the file in place.
    // Unless it was an earlier Cancel that ended the session, and then there is no file.
    const byClose = session.closeUncertain && !session.cancelUncertain;
    return byClose && session.afterCancel.kind === 'cancelled'
      ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
      : afterCancel(session, true);
  }
  const again =
    refusal.meaning === 'transient' && session.cancelAttempts < session.plan.maxCancelAttempts;
  if (!again) return afterCancel(session, false);
  const cancelUncertain = session.cancelUncertain || mayHaveTakenEffect(refusal);
  return waitFor({ ...session, cancelUncertain }, refusal);
}

/** No answer came, or one from a gateway that knows no more than that. */
function mayHaveTakenEffect({ error, unsent }: Refusal): boolean {
  if (!(error instanceof BitsServerError)) return unsent !== true;
  return error.status === 502 || error.status === 504;
}

function cancelGivenUp(session: Session, { error }: EventOf<'gaveUp'>): Step {
  return session.afterCancel.kind === 'create-session'
    ? stop(session, error)
    : afterCancel(session, false);
}

function afterCancel(session: Session, freed: boolean): Step {
  const gone: Session = { ...session, sessionId: undefined };
  switch (session.afterCancel.kind) {
    case 'create-session':
      return sendCreate(gone);
    case 'failed': {
      const { error } = session.afterCancel;
      return finish(gone, 'failed', { kind: 'failed', error, resumable: false });
    }
    case 'cancelled':
      return finish(gone, 'cancelled', { kind: 'cancelled', freed });
  }
}

function suspend(session: Session): Step {
  return [{ ...cutShort(session), state: 'suspended', awaiting: 'caller' }, { type: 'pause' }];
}

/** [MC-BUP] <9>: a resumed session begins with a Ping. */
function resume(session: Session): Step {
  return sendPing({
    ...session,
    restarts: 0,
    resyncs: 0,
    suspicions: 0,
    cut: true,
    unproven: true,
  });
}

function fallBack(session: Session): Step {
  const origin = atOrigin(session);
  // What the host-id's server did with a fragment or a Close says nothing about the origin's.
  return sendPing({ ...origin, suspicions: 0, closeUncertain: false });
}

function atOrigin(session: Session): Session {
  return { ...session, hostId: undefined, hostIdFallbackTimeoutMs: undefined };
}

function stop(session: Session, error: BitsError): Step {
  const resumable = session.sessionId !== undefined;
  const halted = cutShort(session);
  return [
    { ...halted, state: 'error', awaiting: 'caller' },
    { type: 'finish', outcome: { kind: 'failed', error, resumable } },
  ];
}

function finish(session: Session, state: SessionState, outcome: Outcome): Step {
  return [
    { ...session, state, awaiting: 'nothing', pending: undefined },
    { type: 'finish', outcome },
  ];
}

function forward(session: Session): Session {
  return { ...session, everAcked: true, progress: session.progress + 1 };
}

function targetOf(session: Session): Target {
  return session.hostId === undefined ? 'origin' : 'host-id';
}

function idOf(session: Session): string {
  if (session.sessionId === undefined) throw new Error('session machine: no session id');
  return session.sessionId;
}

function pendingOf(session: Session): { readonly start: number; readonly end: number } {
  if (session.pending === undefined) throw new Error('session machine: no fragment is pending');
  return session.pending;
}

function ackOf<T extends Ack['type']>(ack: Ack, type: T): Extract<Ack, { type: T }> {
  if (ack.type !== type) throw new Error(`session machine: a ${ack.type} ack to a ${type}`);
  return ack as Extract<Ack, { type: T }>;
}
