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
  type Doubt,
  FRESH,
  maybeCancelled,
  type Outcome,
  owesReply,
  type Session,
  type SessionEvent,
  type SessionState,
  type Target,
} from './session.js';

// The state machine of one upload ([MC-BUP] §3.1.5): its theory of operation.
//
// The machine is a value. `step(session, event)` gives the next session and the one command to carry
// out; it does no I/O, reads no clock and changes nothing that it was given. The job carries out the
// command, and what comes of it is the next event.
//
//   session   what is known of the upload: its state, what it waits for, what the server has
//             acknowledged, and what is in doubt (session.ts)
//   event     what happened: an answer, a failure, the end of a wait, a wish of the caller
//   command   what to do next: send a packet, download the reply, wait, pause, finish
//
// Every state but three belongs to a packet of the protocol. `init` has sent nothing; `suspended` and
// `error` wait for the caller, who may resume or cancel. `completed`, `cancelled` and `failed` are
// final. `awaiting` says what a session waits for within its state, and so which events are legal: an
// answer, the end of a back-off, the reply, or the caller. An event that is not legal is a bug and
// throws a plain Error.
//
// `table` names the one function for each pair of state and event. All ways forward meet in `proceed`,
// which looks at what is known and not at how it came about:
//
//   no session id                Create-Session, then a Ping when the server named another host
//   a fragment may be doubled    Cancel-Session, then start over (`onUncertainFragment: 'restart'`)
//   bytes unacknowledged         the Fragment that begins at the server's offset
//   a reply is owed              the last Fragment once more until it is announced; then the download
//   nothing                      Close-Session
//
// The server's offset decides, whatever was sent: `adoptOffset`. Three counts keep a server that makes
// no progress from being asked for ever, and each ends in an error: `resyncs` (offsets that bring no
// progress), `restarts` (new sessions; only the caller's resume sets it back) and `cancelAttempts`.
// Time and retries are the job's: after `wait` it sends `retryDue`, or `gaveUp`.
//
// What no answer has settled is in `session.doubt`:
//
//   offset      A Fragment was interrupted. The next one is short, because it may be sent in vain.
//               Ends with any offset that the server names.
//   closed      A Close was interrupted. "Session not found" then means that it worked: `presumed`.
//               Ends with the session, and when the origin is asked instead of the host-id's server.
//   cancelled   A Cancel was interrupted. "Session not found" then proves nothing of a Close before.
//               Ends when the server takes a fragment, and with the session.
//   rested      The session was resumed. A reply that is gone may mean that the session is, too.
//               Ends with any offset that the server names.
//   forgotten   A request got no answer, or the session was resumed. A refusal that explains nothing
//               may come from a server that forgot the session. Ends with the session.
//   suspicions  How many such refusals came; a Ping that works then settles it. Ends with any offset,
//               with a resume, and with the session.

type Step = readonly [Session, Command];
type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;
type Handlers = {
  readonly [T in SessionEvent['type']]?: (session: Session, event: EventOf<T>) => Step;
};

/** The wishes of the caller, and the end of its limits, mean the same in every live state. */
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

/** What a session has to wait for when an event comes; wishes of the caller may always come. */
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
  if (session.doubt.offset && session.plan.onUncertainFragment === 'restart') {
    return cancelFirst(session, { kind: 'create-session' });
  }
  if (session.offset < session.plan.totalBytes) return sendFragment(session);
  if (owesReply(session)) {
    return session.replyUrl === undefined ? sendFragment(session) : download(session);
  }
  return sendClose(session);
}

function sendCreate(session: Session): Step {
  const fresh: Session = { ...session, ...FRESH, state: 'create-session', awaiting: 'answer' };
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
  const { offset, lastFragmentStart, sizer, doubt, plan } = session;
  const total = plan.totalBytes;
  // The server answers a repeated last fragment with the reply URL, and no other fragment.
  // When that is refused as too large, the end of it must do, or the refusals would never end.
  if (offset === total) {
    const start = lastFragmentStart ?? Math.max(0, total - MIN_FRAGMENT_BYTES);
    return { start: Math.max(start, total - sizer.capBytes), end: total };
  }
  const resendsLast = plan.reply !== 'none' && lastFragmentStart === offset;
  if (doubt.offset && resendsLast && total - offset <= sizer.capBytes) {
    return { start: offset, end: total };
  }
  // While the server's offset is in doubt, a whole fragment could be sent in vain.
  const bytes = doubt.offset ? Math.min(MIN_FRAGMENT_BYTES, sizer.bytes) : sizer.bytes;
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
  };
  return ack.hostId === undefined ? proceed(next) : sendPing(next);
}

function pinged(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'ping');
  if (session.doubt.suspicions > 0) return presumeForgotten(session);
  return proceed({ ...forward(session), awaiting: 'nothing' });
}

function presumeForgotten(session: Session): Step {
  const error = new BitsProtocolError(
    'The server answers a Ping and refuses every Fragment, as if it had forgotten the session, and ' +
      'to start over did not help. Ask its administrator for the reason in its log.',
  );
  // It is a guess, so in the end a session that may exist is kept for the caller to resume.
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
  const alive = doubting({ ...session, sizer }, { cancelled: false });
  return adoptOffset(alive, ack.nextOffset, ack.replyUrl, answeredLast);
}

function sizedBy(session: Session, nextOffset: number, elapsedMs: number): FragmentSizer {
  const { start, end } = pendingOf(session);
  const bytes = end - start;
  const takenBytes = nextOffset - start;
  if (takenBytes >= bytes) return fragmentPassed(session.sizer, { bytes, elapsedMs });
  // When a server went back, or may have had a part already, it says nothing about sizes.
  if (takenBytes <= 0 || session.doubt.offset) return session.sizer;
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
        `The server claims to hold ${nextOffset} bytes, but only ${session.sentTo} of the file's ` +
          `${totalBytes} were sent. Check for another upload to the same URL.`,
      ),
    );
  }
  const complete = nextOffset === totalBytes;
  const known: Session = {
    ...doubting(session, { offset: false, rested: false, suspicions: 0 }),
    pending: undefined,
    offset: nextOffset,
    lastAnswered: complete && (session.lastAnswered || end === totalBytes),
    replyUrl: complete ? (replyUrl ?? session.replyUrl) : undefined,
  };
  if (complete && reply === 'required' && known.replyUrl === undefined) {
    const missing = new BitsError(
      'BITS_ERR_REPLY',
      'The server took the whole file but announced no reply (no BITS-Reply-URL). Check that ' +
        'upload-reply is enabled for this directory (BITSServerNotificationType), or make the ' +
        'reply optional.',
    );
    // An answer that named the reply may have been lost; the last fragment brings it again.
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
      `The server keeps asking for byte ${nextOffset} and does not take what is sent from there. ` +
        'Check for another upload to the same URL, or a proxy that drops request bodies.',
    ),
  );
}

/** Sends from the server's offset, a bounded number of times without progress. */
function resync(session: Session, error: BitsError): Step {
  const resyncs = session.resyncs + 1;
  if (resyncs > session.plan.maxResyncs) return stop(session, error);
  return proceed({ ...session, resyncs, pending: undefined });
}

function fragmentFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  const { start, end } = pendingOf(session);
  if (mayBeForgotten(session, refusal)) return suspect(session, refusal);
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

/** Some servers answer a fragment of a session that they have forgotten with 400, 404 or 500. */
function mayBeForgotten(session: Session, { meaning, error }: Refusal): boolean {
  if (!session.doubt.forgotten || meaning === 'session-not-found') return false;
  // Such an upload starts over after each interruption, and that is counted.
  if (session.plan.onUncertainFragment === 'restart') return false;
  // An HRESULT says what is wrong, so there is nothing to guess.
  if (!(error instanceof BitsServerError) || error.hresult !== undefined) return false;
  return error.status === 400 || error.status === 404 || error.status === 500;
}

/** When a Ping works, the session is what is wrong. A 500 may pass: only a repeated one is suspicious. */
function suspect(session: Session, refusal: Refusal): Step {
  const suspicions = session.doubt.suspicions + 1;
  const suspicious = doubting(session, { suspicions });
  const mayPass = refusal.meaning === 'transient' && suspicions === 1;
  return mayPass ? waitFor(suspicious, refusal) : sendPing(suspicious);
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
      // Before anything worked it is a wrong URL; afterwards a captive portal, which will go away.
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
  const mayAsk = session.doubt.rested && session.plan.onUncertainFragment === 'resend';
  return mayAsk ? sendFragment(session) : stop(session, error);
}

function closed(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'close-session');
  return finish(session, 'completed', { kind: 'completed', closed: 'acknowledged' });
}

function closeFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  switch (refusal.meaning) {
    case 'session-not-found':
      return closedBefore(session)
        ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
        : restart(session, refusal.error);
    case 'transient':
    case 'not-bits':
      return waitFor(session, refusal);
    default:
      // An answered Close is not in doubt.
      return stop({ ...session, awaiting: 'nothing' }, refusal.error);
  }
}

/** A session that is not found was ended by a Close whose answer was lost, and so the file is there. */
function closedBefore({ doubt }: Session): boolean {
  return doubt.closed && !doubt.cancelled;
}

function waitFor(session: Session, refusal: Refusal): Step {
  const halted = refusal.unsent
    ? { ...session, pending: undefined }
    : interrupted(session, mayHaveTakenEffect(refusal));
  const { error } = refusal;
  const answered = error instanceof BitsServerError || error instanceof BitsProtocolError;
  const forgotten = session.doubt.forgotten || !answered;
  return [
    { ...doubting(halted, { forgotten }), awaiting: 'retry' },
    { type: 'wait', refusal },
  ];
}

/** After this, what the server did with the Fragment or the Close on the wire is not known. */
function interrupted(session: Session, isLoss = false): Session {
  if (session.state === 'close-session' && session.awaiting === 'answer') {
    return doubting(session, { closed: true });
  }
  if (session.pending === undefined) return session;
  const { doubt, sizer } = session;
  return {
    ...doubting(session, { offset: true }),
    pending: undefined,
    sizer: doubt.offset ? sizer : fragmentLost(sizer, isLoss),
  };
}

/** As {@link interrupted}, of a packet whose answer is no longer awaited. */
function cutShort(session: Session): Session {
  const halted = interrupted(session);
  const cancelling = session.state === 'cancel-session' && session.awaiting === 'answer';
  return cancelling ? maybeCancelled(halted) : halted;
}

/** The server has lost the session: start over from byte 0, a bounded number of times. */
function restart(session: Session, error: BitsError): Step {
  const restarts = session.restarts + 1;
  const lost: Session = { ...session, restarts, sessionId: undefined };
  return restarts > session.plan.maxRestarts ? stop(lost, error) : sendCreate(lost);
}

/** As {@link restart}, of a session that the server may still hold and that would block the URL. */
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
  // A Create-Session on the wire may still make a session whose id nobody will know.
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
    // The Cancel came too late when a Close before it had put the file in place.
    return closedBefore(session) && session.afterCancel.kind === 'cancelled'
      ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
      : afterCancel(session, true);
  }
  const again =
    refusal.meaning === 'transient' && session.cancelAttempts < session.plan.maxCancelAttempts;
  if (!again) return afterCancel(session, false, refusal.error);
  return waitFor(mayHaveTakenEffect(refusal) ? maybeCancelled(session) : session, refusal);
}

/** No answer came, or one from a gateway that knows no more than that. */
function mayHaveTakenEffect({ error, unsent }: Refusal): boolean {
  if (!(error instanceof BitsServerError)) return unsent !== true;
  return error.status === 502 || error.status === 504;
}

function cancelGivenUp(session: Session, { error }: EventOf<'gaveUp'>): Step {
  return session.afterCancel.kind === 'create-session'
    ? stop(session, error)
    : afterCancel(session, false, error);
}

function afterCancel(session: Session, freed: boolean, error?: BitsError): Step {
  const gone: Session = { ...session, sessionId: undefined };
  switch (session.afterCancel.kind) {
    case 'create-session':
      return sendCreate(gone);
    case 'failed': {
      const { error: cause } = session.afterCancel;
      return finish(gone, 'failed', { kind: 'failed', error: cause, resumable: false });
    }
    case 'cancelled':
      return finish(gone, 'cancelled', { kind: 'cancelled', freed, ...(error && { error }) });
  }
}

function suspend(session: Session): Step {
  return [{ ...cutShort(session), state: 'suspended', awaiting: 'caller' }, { type: 'pause' }];
}

/** [MC-BUP] <9>: a resumed session begins with a Ping. */
function resume(session: Session): Step {
  const doubtful = doubting(session, { rested: true, forgotten: true, suspicions: 0 });
  return sendPing({ ...doubtful, restarts: 0, resyncs: 0 });
}

function fallBack(session: Session): Step {
  // What the host-id's server did with a Fragment or a Close says nothing about the origin's.
  return sendPing(doubting(atOrigin(session), { suspicions: 0, closed: false }));
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

function doubting(session: Session, doubt: Partial<Doubt>): Session {
  return { ...session, doubt: { ...session.doubt, ...doubt } };
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
