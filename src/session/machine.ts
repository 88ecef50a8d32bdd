import { BitsError, BitsProtocolError, BitsServerError } from '../errors.js';
import { CONTEXT_SERVER_APPLICATION } from '../protocol/answers.js';
import { MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
import { httpStatusOf } from '../protocol/hresult.js';
import type { Ack, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import {
  answeredIn,
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
  isShownToExist,
  maybeCancelled,
  type Outcome,
  owesReply,
  type Pending,
  resendBudget,
  type Session,
  type SessionEvent,
  type SessionState,
  type Suspect,
} from './session.js';

/** A probe costs little, and is longer than what a server may happen to hold of a fragment. */
const PROBE_BYTES = 2560;

// The state machine of one upload ([MC-BUP] §3.1.5): its theory of operation.
//
// The machine is a value. `step(session, event)` gives the next session and the one command to carry
// out; it does no I/O, reads no clock and changes nothing that it was given. The job carries out the
// command, and what comes of it is the next event.
//
//   session   what is known of the upload: its state, what it waits for, what the server has
//             acknowledged, and what is in doubt (session.ts)
//   event     what happened: an answer, a failure, the end of a wait, a request of the caller
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
//   the server's offset unknown  a probe; or Cancel-Session, then start over
//   bytes unacknowledged         the Fragment that begins at the server's offset
//   a reply is owed              the end of the file once more until the reply is announced, after a rest
//                                a probe before it; then the download
//   nothing                      Close-Session
//
// The server's offset decides, whatever was sent: `adoptOffset`. A server that makes no progress is not
// asked for ever. `resyncs` counts offsets that bring no progress worth the name, `restarts` counts new
// sessions, `cancelAttempts` counts Cancels, and bytes that are sent again have a budget: each ends in
// an error, and only the caller's resume gives all of them back. Time and retries are the job's: after
// `wait` it sends `retryDue`, or `gaveUp`. No loop goes on without a `wait` or progress.
//
// A probe asks for the server's offset. It repeats bytes below the offset that is known, so it brings
// the server nothing new: one that follows [MC-BUP] answers its own offset. One that appends whatever
// comes answers the end of what it took of the probe, or more with every probe, and so a new offset is
// confirmed by a second one. What such a server holds cannot be trusted, and the upload starts over.
// Below offset 2 there is nothing to repeat. The probe is then the beginning of the fragment, and an
// answer with the probe's end has two meanings: start over, nothing is lost.
//
// A connection that was used before may end before the answer, or bring the answer to another packet.
// The packet is then sent once more at once over a new connection, with the doubt that follows.
//
// What no answer has settled is in `session.doubt`:
//
//   offset      A Fragment was interrupted. A probe follows. Ends with any offset that fits.
//   probed      What the first of two probes was told. Ends with the second one.
//   doubled     The server may hold bytes twice. Ends with the session.
//   closed      A Close of a session that the server had was interrupted, or failed. "Session not
//               found" then means that it worked: `presumed`. Ends with a refusal that names a reason,
//               when the server takes a fragment, with the session, and when the origin is asked
//               instead of the host-id's server.
//   cancelled   A Cancel was interrupted, or failed. "Session not found" then proves nothing of a Close
//               before. Ends when the server takes a fragment, and with the session.
//   unconfirmed The session was resumed, or is to be found at another server than the one that was asked
//               before, and nothing shows yet that the server has it. A reply that is gone may mean that
//               the session is, too, and "session not found" that it was before a Close: a probe
//               goes out before, unless the reply is stored. Ends with any offset that fits, and
//               with a reply.
//   replyGone   The reply was not found. Ends when the end of the file, sent again, is answered.
//   forgotten   A request got no answer, or the session was resumed. A refusal that explains nothing
//               may come from a server that forgot the session, and "session not found" from one that
//               was restarted before a Close. Ends with any offset that fits, with a reply, and with
//               the session.
//   suspicions  How often the server failed so; once may pass. Ends with any offset that fits, with a
//               resume, and with the session.
//   suspect     The refusal that a Ping is to explain: when the server answers it, the session is what
//               is wrong, and when it fails it, the server is. Ends with that, with a resume, and with
//               the session.

type Step = readonly [Session, Command];
type AckOf<T extends Ack['type']> = Extract<Ack, { type: T }>;
type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;
type Handlers = {
  readonly [T in SessionEvent['type']]?: (session: Session, event: EventOf<T>) => Step;
};

/** The requests of the caller, and the end of its limits, mean the same in every live state. */
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
  ping: { ...live, acked: pinged, failed: pingFailed },
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

/** What is to do next; every way forward comes through here. */
function proceed(session: Session): Step {
  const { doubt, plan } = session;
  if (session.state === 'ping' && session.awaiting === 'retry') return sendPing(session);
  if (session.sessionId === undefined) return sendCreate(session);
  if (doubt.doubled || (doubt.offset && plan.onUncertainFragment === 'restart')) {
    return cancelFirst(session, { kind: 'create-session' });
  }
  if (doubt.offset) return sendProbe(session);
  if (session.offset < plan.totalBytes) return sendFragment(session);
  if (owesReply(session)) {
    const isKnown = session.replyUrl !== undefined && !doubt.replyGone;
    if (isKnown) return download(session);
    if (mayNotAsk(session)) {
      return restartCancelling(session, noReply({ retryable: false }), 'No reply was announced');
    }
    // The answer to the end of the file, sent again, would not tell whether it was appended.
    return doubt.unconfirmed ? sendProbe(session) : askForReply(session);
  }
  // Or "session not found" would not tell whether a Close that got no answer had ended it.
  const mustAsk = !isShownToExist(session) && doubt.closed === 'no' && !mayNotAsk(session);
  return mustAsk ? sendProbe(session) : sendClose(session);
}

function sendCreate(session: Session): Step {
  const fresh: Session = { ...session, ...FRESH, state: 'create-session', awaiting: 'answer' };
  return [fresh, send(fresh, { type: 'create-session' })];
}

function sendPing(session: Session): Step {
  const next: Session = { ...session, state: 'ping', awaiting: 'answer', pending: undefined };
  return [next, send(next, { type: 'ping' })];
}

function sendFragment(session: Session): Step {
  const { offset, sizer, plan } = session;
  const end = Math.min(plan.totalBytes, offset + sizer.bytes);
  return sendRange(session, { start: offset, end, isProbe: false });
}

function sendProbe(session: Session): Step {
  const { offset, sentTo } = session;
  // Not up to the offset itself, or the answers of a server that appends would look like its own.
  const end = offset > 1 ? offset - 1 : Math.min(offset + PROBE_BYTES, sentTo - 1);
  const start = offset > 1 ? Math.max(0, end - PROBE_BYTES) : offset;
  if (end <= start) return startOverFromDoubt(session, appends(session));
  return sendRange(session, { start, end, isProbe: true });
}

/** Whether the end of the file must not be sent again, for it may be appended and no probe would tell. */
function mayNotAsk({ doubt, offset, plan }: Session): boolean {
  return plan.onUncertainFragment === 'restart' || (doubt.unconfirmed && offset <= 1);
}

/** A server that has the whole file answers the end of it, sent again, with the reply's URL. */
function askForReply(session: Session): Step {
  const end = session.plan.totalBytes;
  return sendRange(session, { start: Math.max(0, end - PROBE_BYTES), end, isProbe: false });
}

function sendRange(session: Session, range: Pending): Step {
  const { totalBytes, contentName } = session.plan;
  const { start, end } = range;
  const again = Math.max(0, Math.min(end, session.furthestSent) - start);
  const resentBytes = session.resentBytes + again;
  if (resentBytes > resendBudget(totalBytes)) return stop(session, tooMuchResent(session));
  const next: Session = {
    ...session,
    state: 'fragment',
    awaiting: 'answer',
    pending: range,
    sentTo: Math.max(session.sentTo, end),
    furthestSent: Math.max(session.furthestSent, end),
    resentBytes,
  };
  const sessionId = idOf(session);
  const packet = {
    type: 'fragment',
    sessionId,
    contentName,
    range: { start, end, total: totalBytes },
  } as const;
  return [next, send(next, packet)];
}

function tooMuchResent({ resentBytes, plan }: Session): BitsError {
  return new BitsError(
    'BITS_ERR_NO_PROGRESS',
    `${resentBytes} bytes were sent again for a file of ${plan.totalBytes} bytes, and the upload is not ` +
      'complete. Check for a proxy that cuts requests, and for another upload to the same URL.',
  );
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
  const next: Session = {
    ...session,
    state: 'close-session',
    awaiting: 'answer',
    pending: undefined,
  };
  return [next, send(next, { type: 'close-session', sessionId: idOf(session) })];
}

function created(session: Session, event: EventOf<'acked'>): Step {
  const ack = ackOf(event.ack, 'create-session');
  const next: Session = {
    ...sessionReady(session),
    sizer: answeredIn(session.sizer, event.elapsedMs),
    sessionId: ack.sessionId,
    hostId: ack.hostId,
    hostIdFallbackTimeoutMs: ack.hostIdFallbackTimeoutMs,
  };
  return ack.hostId === undefined ? proceed(next) : sendPing(doubting(next, { unconfirmed: true }));
}

function pinged(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'ping');
  const sizer = answeredIn(session.sizer, event.elapsedMs);
  const { suspect } = session.doubt;
  if (suspect !== undefined) return presumeForgotten({ ...session, sizer }, suspect);
  return proceed({ ...sessionReady(session), sizer, awaiting: 'nothing' });
}

/** Any answer of a server shows that it can be reached: the packet after the Ping decides. */
function pingFailed(session: Session, event: EventOf<'failed'>): Step {
  const { refusal } = event;
  const { meaning, error, isFromBits } = refusal;
  const { suspect } = session.doubt;
  const isFailing = meaning === 'transient' && !isOfConnection(refusal);
  if (suspect !== undefined && isFailing && isStatus(suspect.error, 500)) {
    // It fails whatever it is asked, which explains the 500, and the session is kept. A Ping that works
    // later would be no progress, so it is not sent.
    const kept = doubting(session, { suspicions: 0, suspect: undefined });
    return waitFor({ ...kept, state: 'fragment' }, refusal);
  }
  const reached: readonly Refusal['meaning'][] = ['fatal', 'transient', 'session-not-found'];
  if (!(error instanceof BitsServerError) || !reached.includes(meaning)) {
    return refused(session, event);
  }
  if (suspect === undefined) return proceed({ ...session, awaiting: 'nothing' });
  // It may be the server and not the session that is wrong, so the session is kept.
  if (meaning === 'transient') return waitFor(session, refusal);
  // A Ping names no session, so a server that misses one answers so whatever it is asked.
  const isOfForgetful = isFromBits && error.hresult === undefined;
  return isOfForgetful || meaning === 'session-not-found'
    ? presumeForgotten(session, suspect)
    : stop(doubting(session, { suspect: undefined }), suspect.error);
}

/** The server answers, but no packet of this session: it does not know the session any more. */
function presumeForgotten(session: Session, { packet, error: suspected }: Suspect): Step {
  if (packet === 'close-session') {
    return finish(session, 'completed', { kind: 'completed', closed: 'presumed' });
  }
  const error = new BitsProtocolError(
    'The server answers a Ping and refuses whatever names the session, as if it had forgotten it, and ' +
      'to start over did not help. Ask its administrator for the reason in its log.',
  );
  // It is a guess, so in the end a session that may exist is kept for the caller to resume.
  const known = doubting(session, { suspect: undefined });
  const isNew = session.restarts > 0 && session.sessionBestOffset === 0;
  if (isNew && suspected.retryable) {
    // A session made a moment ago is not forgotten: the server has a failure.
    const refusal: Refusal = { meaning: 'transient', error: suspected };
    return [
      { ...known, state: 'fragment', awaiting: 'retry' },
      { type: 'wait', refusal },
    ];
  }
  return session.restarts < session.plan.maxRestarts
    ? restartCancelling(known, error, 'The server seems to have forgotten the session')
    : stop(known, error);
}

function fragmentAcked(session: Session, event: EventOf<'acked'>): Step {
  const ack = ackOf(event.ack, 'fragment');
  const { start, isProbe } = pendingOf(session);
  if (isProbe) return probeAcked(session, ack);
  // A server that takes a fragment names an offset beyond its start; one that does not, refuses it.
  if (ack.nextOffset <= start) return misled(session, asksAgain(ack.nextOffset));
  const isPossible = ack.nextOffset <= session.sentTo;
  const sizer = isPossible ? sizedBy(session, ack.nextOffset, event.elapsedMs) : session.sizer;
  return adoptOffset({ ...session, sizer }, ack.nextOffset, ack.replyUrl, true);
}

function probeAcked(session: Session, { nextOffset, replyUrl }: AckOf<'fragment'>): Step {
  const { start, end } = pendingOf(session);
  const { probed } = session.doubt;
  // One that lacked a byte of it would have taken all of it, or have refused it.
  if (nextOffset > start && nextOffset < end) {
    return startOverFromDoubt(session, takesLittle(), session.plan.maxRestarts);
  }
  if (nextOffset === end || (probed !== undefined && nextOffset === probed + end - start)) {
    return startOverFromDoubt(session, appends(session));
  }
  // One that appends in silence would name another offset each time.
  if (nextOffset === session.offset || nextOffset === probed) {
    // It accepts bytes and says that it does not have them: it may have appended them.
    if (nextOffset <= start) {
      return startOverFromDoubt(session, asksAgain(nextOffset), session.plan.maxRestarts);
    }
    return adoptOffset(session, nextOffset, replyUrl, true);
  }
  const isFirst = probed === undefined && nextOffset > end;
  return isFirst
    ? sendProbe(doubting(session, { probed: nextOffset }))
    : misled(session, asksAgain(nextOffset), nextOffset);
}

function appends({ offset }: Session): BitsError {
  return new BitsProtocolError(
    offset > 1
      ? 'The server appends a fragment once more when it is sent once more, so an interrupted upload can ' +
          'only start over. Check that the server follows [MC-BUP], or the connection to it.'
      : // A probe of the beginning tells nothing of the server.
        'The first fragment was interrupted, so the upload starts over. Check the log of the server, and ' +
          'proxies in between for a limit on the size of a request.',
    { retryable: true },
  );
}

const BYTES_TWICE = 'The server may hold bytes twice';

/** What the server holds cannot be trusted, so the upload starts over. */
function startOverFromDoubt(session: Session, error: BitsError, mostInVain?: number): Step {
  const doubled = doubting({ ...session, pending: undefined }, { doubled: true });
  // Where the server has taken nothing yet, nothing is lost, and so it is not counted.
  if (session.offset > 1 || session.sessionBestOffset > 0) {
    return restartCancelling(doubled, error, BYTES_TWICE);
  }
  const uselessStarts = session.uselessStarts + 1;
  const next: Session = { ...doubled, uselessStarts };
  if (mostInVain !== undefined && uselessStarts > mostInVain) return stop(next, error);
  if (uselessStarts === 1) return proceed(next);
  const refusal: Refusal = { meaning: 'transient', error };
  return [
    { ...next, state: 'fragment', awaiting: 'retry' },
    { type: 'wait', refusal },
  ];
}

function sizedBy(session: Session, nextOffset: number, elapsedMs: number): FragmentSizer {
  const { start, end } = pendingOf(session);
  const bytes = end - start;
  const takenBytes = nextOffset - start;
  return takenBytes >= bytes
    ? fragmentPassed(session.sizer, { bytes, elapsedMs })
    : fragmentCurtailed(session.sizer, { bytes, takenBytes });
}

/** [MC-BUP] §3.1.5.1.4: the server's offset wins, whatever was sent. */
function adoptOffset(
  session: Session,
  nextOffset: number,
  replyUrl: string | undefined,
  isTaken: boolean,
): Step {
  const { totalBytes, reply } = session.plan;
  const { start, end, isProbe } = pendingOf(session);
  if (nextOffset > totalBytes || nextOffset > session.sentTo) {
    return misled(
      session,
      new BitsProtocolError(
        `The server claims to hold ${nextOffset} bytes, but only ${session.sentTo} of the file's ` +
          `${totalBytes} were sent. Check for another upload to the same URL.`,
      ),
    );
  }
  const isComplete = nextOffset === totalBytes;
  const isLast = end === totalBytes && !isProbe;
  const replyGone = session.doubt.replyGone && !isLast;
  const settled = {
    offset: false,
    probed: undefined,
    unconfirmed: false,
    replyGone,
    forgotten: false,
    suspicions: 0,
  };
  const known: Session = {
    // A session that takes a fragment was ended by no Close and by no Cancel.
    ...doubting(session, isTaken ? { ...settled, closed: 'no', cancelled: false } : settled),
    pending: undefined,
    offset: nextOffset,
    lastAnswered: isComplete && (session.lastAnswered || isLast),
    replyUrl: isComplete ? (replyUrl ?? session.replyUrl) : undefined,
  };
  const isAhead = isProgress(session, nextOffset);
  const next: Session = isAhead
    ? {
        ...forward(known),
        resyncs: 0,
        uselessStarts: 0,
        sessionBestOffset: nextOffset,
        bestOffset: Math.max(session.bestOffset, nextOffset),
      }
    : known;
  if (isComplete && isLast && reply === 'required' && next.replyUrl === undefined) {
    if (isTaken) return stop(next, noReply({ retryable: false }));
    // Refused as out of step, it says no more than that the application may still be at work.
    if (session.offset === totalBytes) {
      const refusal: Refusal = { meaning: 'transient', error: noReply({ retryable: true }) };
      return [
        { ...next, awaiting: 'retry' },
        { type: 'wait', refusal, waitsFor: 'reply' },
      ];
    }
  }
  if (isAhead || isComplete || nextOffset >= end) return proceed(next);
  return nextOffset - start >= MIN_FRAGMENT_BYTES
    ? proceed(next)
    : resync(next, nextOffset > start ? takesLittle() : asksAgain(nextOffset));
}

/** A few bytes now and then are none: they would buy a hostile server the whole fragment each time. */
function isProgress(session: Session, nextOffset: number): boolean {
  const { start, end, isProbe } = pendingOf(session);
  const { sessionBestOffset, plan } = session;
  if (nextOffset <= sessionBestOffset) return false;
  if (nextOffset === plan.totalBytes) return true;
  // Nothing below can be probed, so that the upload may start over from there in vain.
  if (nextOffset <= 1) return false;
  if (nextOffset - sessionBestOffset >= MIN_FRAGMENT_BYTES) return true;
  return !isProbe && start >= sessionBestOffset && nextOffset >= end;
}

function noReply(options: { retryable: boolean }): BitsError {
  return new BitsError(
    'BITS_ERR_REPLY',
    'The server took the whole file but announced no reply (no BITS-Reply-URL). Check that ' +
      'upload-reply is enabled for this directory (BITSServerNotificationType), or make the ' +
      'reply optional.',
    options,
  );
}

function asksAgain(offset: number): BitsError {
  return new BitsProtocolError(
    `The server keeps asking for byte ${offset} and does not take what is sent from there. ` +
      'Check for another upload to the same URL, or a proxy that drops request bodies.',
  );
}

function takesLittle(): BitsError {
  return new BitsProtocolError(
    'The server takes only a few bytes of each fragment. Check for another upload to the same URL, or a ' +
      'proxy that cuts request bodies.',
  );
}

/** An answer that cannot belong to the fragment: it may be that of another packet. */
function misled(session: Session, error: BitsError, probed?: number): Step {
  const doubtful = doubting({ ...session, newConnection: true }, { offset: true, probed });
  return session.plan.onUncertainFragment === 'restart'
    ? restartCancelling(doubtful, error, 'An answer of the server did not fit')
    : resync(doubtful, error);
}

/** Sends from the server's offset, a bounded number of times without progress. */
function resync(session: Session, error: BitsError): Step {
  const resyncs = session.resyncs + 1;
  if (resyncs > session.plan.maxResyncs) return stop(session, error);
  return proceed({ ...session, resyncs, pending: undefined });
}

function fragmentFailed(session: Session, event: EventOf<'failed'>): Step {
  const { refusal } = event;
  const { meaning, error } = refusal;
  if (meaning === 'maybe-too-large') {
    const smaller = isLargest(session) ? sizedDown(session) : undefined;
    if (smaller !== undefined) return sendFragment(smaller);
  }
  if (mayBeForgotten(session, refusal)) return suspect(session, 'fragment', refusal);
  switch (meaning) {
    case 'out-of-step':
      return refusal.nextOffset === undefined
        ? outOfStep(session, error)
        : toldOffset(session, refusal.nextOffset, refusal.replyUrl);
    case 'fragment-too-large':
      return sendSmaller(session, error);
    case 'transient':
    case 'not-bits':
    case 'misfit':
      if (session.plan.onUncertainFragment === 'restart' && !refusal.unsent) {
        const restarts = session.restarts + 1;
        if (restarts > session.plan.maxRestarts) return stop(session, error);
        const restartReason = 'A fragment was interrupted';
        return refused({ ...session, restarts, restartReason }, event);
      }
      return refused(session, event);
    case 'fatal':
      // A server that takes a probe for malformed cannot be asked for its offset.
      return pendingOf(session).isProbe && isStatus(error, 400)
        ? restartCancelling(session, error, 'The server does not say what it holds')
        : refused(session, event);
    default:
      return refused(session, event);
  }
}

/** An out-of-step answer: of a probe, a new offset is confirmed by a second one, as after a success. */
function toldOffset(session: Session, nextOffset: number, replyUrl: string | undefined): Step {
  const { start, end, isProbe } = pendingOf(session);
  const { probed } = session.doubt;
  if (isProbe && probed !== undefined && nextOffset === probed + end - start) {
    return startOverFromDoubt(session, appends(session));
  }
  const isNews = isProbe && probed === undefined && nextOffset > end;
  return isNews && nextOffset !== session.offset && nextOffset <= session.sentTo
    ? sendProbe(doubting(session, { probed: nextOffset }))
    : adoptOffset(session, nextOffset, replyUrl, false);
}

/** An out-of-step answer that names no offset. */
function outOfStep(session: Session, error: BitsError): Step {
  const { start, isProbe } = pendingOf(session);
  // The server holds nothing of this session, so another one would not be in step either.
  if (start === 0 && !isProbe) return sendSmaller(session, error);
  return restartCancelling(session, wholeFile(error), 'The server does not say what it holds');
}

function sendSmaller(session: Session, error: BitsError): Step {
  const smaller = sizedDown(session);
  return smaller === undefined
    ? stop({ ...session, pending: undefined }, wholeFile(error))
    : sendFragment(smaller);
}

/** Undefined when the smallest fragment was refused. */
function sizedDown(session: Session): Session | undefined {
  const { start, end } = pendingOf(session);
  const sizer = fragmentRefused(session.sizer, end - start);
  return sizer && { ...session, sizer, pending: undefined };
}

function isLargest(session: Session): boolean {
  const { start, end, isProbe } = pendingOf(session);
  return !isProbe && end - start > session.sizer.largestPassedBytes;
}

function wholeFile(error: BitsError): BitsError {
  if (!(error instanceof BitsServerError)) return error;
  const { status, message, retryable } = error;
  return new BitsServerError(
    `${message}; the whole file may be larger than the server accepts`,
    { status },
    { retryable, cause: error },
  );
}

/**
 * Some servers answer a packet of a session that they have forgotten with 400, 404 or 500: after an
 * interruption, or with an error header that says nothing, that is likely.
 */
function mayBeForgotten(session: Session, { meaning, error, isFromBits }: Refusal): boolean {
  if (meaning === 'session-not-found') return false;
  // Such an upload starts over after each interruption, and that is counted.
  if (session.plan.onUncertainFragment === 'restart') return false;
  const isSuspicious = session.doubt.forgotten || isFromBits === true;
  return (
    isSuspicious && isUnexplained(error) && [400, 404, 500].some((one) => isStatus(error, one))
  );
}

/** An HRESULT says what is wrong, and then there is nothing to guess. */
function isUnexplained(error: BitsError): boolean {
  const isOfServer = error instanceof BitsServerError && !isOfApplication(error);
  return isOfServer && error.hresult === undefined;
}

/** The application is asked when the server has done what the packet is for. */
function isOfApplication(error: BitsError): boolean {
  return error instanceof BitsServerError && error.context === CONTEXT_SERVER_APPLICATION;
}

function isStatus(error: BitsError, status: number): boolean {
  return error instanceof BitsServerError && error.status === status;
}

/** Asks with a Ping what is wrong, server or session. A 500 may pass: only a second one is suspicious. */
function suspect(session: Session, packet: Suspect['packet'], refusal: Refusal): Step {
  const suspicions = session.doubt.suspicions + 1;
  const suspicious = doubting(session, { suspicions });
  if (refusal.meaning === 'transient' && suspicions === 1) return waitFor(suspicious, refusal);
  const offset = session.doubt.offset || session.state === 'fragment';
  const asked = { packet, error: refusal.error };
  return sendPing(doubting(suspicious, { offset, probed: undefined, suspect: asked }));
}

/** What a refusal means for any packet but Close and Cancel. */
function refused(session: Session, { refusal }: EventOf<'failed'>): Step {
  switch (refusal.meaning) {
    case 'transient':
      return waitFor(session, refusal);
    case 'not-bits':
      // Before anything worked it is a wrong URL; afterwards a captive portal, which will go away.
      return session.everAcked ? waitFor(session, refusal) : stop(session, refusal.error);
    case 'misfit':
      return session.newConnection ? stop(session, refusal.error) : waitFor(session, refusal);
    case 'session-not-found':
      return restart(session, refusal.error);
    default: {
      // What a server refused for good it did not take, and what was not sent it has not; its
      // application refuses what the server has taken.
      const isRefused = isAnswer(refusal) && !isOfApplication(refusal.error);
      const isSettled = isRefused || refusal.unsent === true;
      const settled = isSettled ? { ...session, pending: undefined } : session;
      return stop(settled, refusal.error);
    }
  }
}

function replyStored(session: Session): Step {
  // Replies go with their session.
  const known = doubting(session, { unconfirmed: false, forgotten: false });
  return proceed(forward({ ...known, replyStored: true }));
}

/**
 * Replies go with their session. When it may have ended unnoticed, the end of the file sent again
 * tells: the answer names the reply, or says that the session is not found ([MC-BUP] §3.2.5.1.2).
 */
function replyGone(session: Session, { error }: EventOf<'replyGone'>): Step {
  if (!session.doubt.unconfirmed) return stop(session, error);
  return mayNotAsk(session)
    ? restartCancelling(session, error, 'The reply is gone')
    : proceed(doubting(session, { offset: true, replyGone: true }));
}

function closed(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'close-session');
  return finish(session, 'completed', { kind: 'completed', closed: 'acknowledged' });
}

function closeFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  const { meaning, error } = refusal;
  switch (meaning) {
    case 'session-not-found':
      // A transport that sends a Close again by itself brings the answer to the second one.
      return closedBefore(session) || mayBeSentTwice(session)
        ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
        : restart(session, error);
    case 'transient':
    case 'not-bits':
      if (isStatus(error, 500) && isUnexplained(error) && wasCloseLost(session, refusal)) {
        return suspect(session, 'close-session', refusal);
      }
      return session.doubt.forgotten && mayBeForgotten(session, refusal)
        ? suspect(session, 'fragment', refusal)
        : waitFor(session, refusal);
    case 'misfit':
      return session.newConnection ? stop(session, error) : waitFor(session, refusal);
    default: {
      // An answered Close is not in doubt.
      const answered: Session = mayHaveTakenEffect(refusal)
        ? session
        : {
            ...(isNamed(refusal) ? doubting(session, { closed: 'no' }) : session),
            awaiting: 'nothing',
          };
      if (session.plan.totalBytes === 0 && isStatus(error, 416)) {
        return cancelFirst(answered, { kind: 'failed', error: emptyFile(error) });
      }
      if (meaning === 'fatal' && saysNothing(error) && wasCloseLost(session, refusal)) {
        return suspect(answered, 'close-session', refusal);
      }
      return session.doubt.forgotten && mayBeForgotten(session, refusal)
        ? suspect(answered, 'fragment', refusal)
        : stop(answered, error);
    }
  }
}

/** Whether a Close before this one may have worked: its answer was lost, or the transport sent it. */
function wasCloseLost(session: Session, { error, isFromBits }: Refusal): boolean {
  if (session.doubt.cancelled) return false;
  if (session.doubt.closed === 'unanswered') return true;
  const isOfForgetful = isStatus(error, 400) || isStatus(error, 500);
  return mayBeSentTwice(session) && isFromBits === true && isOfForgetful;
}

/** Whether the transport may have sent the Close twice, of a session that the server had before it. */
function mayBeSentTwice({ doubt, plan }: Session): boolean {
  const isKnown = !doubt.unconfirmed && !doubt.forgotten;
  return plan.mayResend === true && isKnown && !doubt.cancelled;
}

/**
 * These say what they mean, and it is not the session: authentication, permission, verb, time, a file
 * that exists, size, form, rate.
 */
const EXPLICIT_4XX: readonly number[] = [
  401, 402, 403, 405, 406, 407, 408, 409, 411, 413, 414, 415, 417, 421, 423, 426, 429, 431, 451,
];

/** Refused in a way that is nothing but strange, as by a server that does not know the session. */
function saysNothing(error: BitsError): boolean {
  if (!(error instanceof BitsServerError) || !isUnexplained(error)) return false;
  const { status } = error;
  return status >= 400 && status < 500 && !EXPLICIT_4XX.includes(status);
}

function emptyFile(cause: BitsError): BitsError {
  return new BitsServerError(
    'The server does not store empty files: it refused to close one with HTTP status 416. Upload at ' +
      'least one byte.',
    { status: 416 },
    { cause },
  );
}

/** When the session is not found, a Close before has ended it, and so the file is in place. */
function closedBefore({ doubt }: Session): boolean {
  return doubt.closed !== 'no' && !doubt.cancelled;
}

function waitFor(session: Session, refusal: Refusal): Step {
  const halted = refusal.unsent
    ? { ...session, pending: undefined }
    : interrupted(session, refusal);
  const forgotten = session.doubt.forgotten || !isAnswer(refusal);
  const waiting: Session = { ...doubting(halted, { forgotten }), awaiting: 'retry' };
  if (isOfConnection(refusal) && !session.newConnection) {
    const next: Session = { ...waiting, newConnection: true };
    return session.state === 'cancel-session' ? sendCancel(next) : proceed(next);
  }
  return [waiting, { type: 'wait', refusal }];
}

function isAnswer({ meaning, error }: Refusal): boolean {
  return error instanceof BitsServerError || meaning === 'not-bits';
}

/** The fault of a connection that was used before, and neither the server's nor the network's. */
function isOfConnection({ meaning, staleConnection }: Refusal): boolean {
  return meaning === 'misfit' || staleConnection === true;
}

/** After this, what the server did with the Fragment or the Close on the wire is not known. */
function interrupted(session: Session, refusal?: Refusal): Session {
  const { doubt, sizer, pending } = session;
  if (session.state === 'close-session' && session.awaiting === 'answer') {
    const isLost = refusal === undefined || mayHaveTakenEffect(refusal);
    if (refusal !== undefined && isNamed(refusal)) return doubting(session, { closed: 'no' });
    // A session that was not there before it would not be found after it, either.
    if (!isShownToExist(session) && doubt.closed === 'no') return session;
    return doubting(session, {
      closed: isLost || doubt.closed === 'unanswered' ? 'unanswered' : 'failed',
    });
  }
  if (pending === undefined) return session;
  const isOfSize = !pending.isProbe && !(refusal && isOfConnection(refusal));
  const isLoss = refusal !== undefined && mayHaveTakenEffect(refusal);
  return {
    ...doubting(session, { offset: true, probed: undefined }),
    pending: undefined,
    sizer: isOfSize ? fragmentLost(sizer, isLoss) : sizer,
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
  const restartReason = 'The server lost the session';
  const lost: Session = { ...session, awaiting: 'nothing', sessionId: undefined };
  if (restarts > session.plan.maxRestarts) return stop(lost, error);
  return sendCreate({ ...lost, restarts, restartReason });
}

/** As {@link restart}, of a session that the server may still hold and that would block the URL. */
function restartCancelling(session: Session, error: BitsError, restartReason: string): Step {
  const restarts = session.restarts + 1;
  if (restarts > session.plan.maxRestarts) return stop(session, error);
  return cancelFirst({ ...session, restarts, restartReason }, { kind: 'create-session' });
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
  const next: Session = {
    ...session,
    state: 'cancel-session',
    awaiting: 'answer',
    cancelAttempts: session.cancelAttempts + 1,
  };
  return [next, send(next, { type: 'cancel-session', sessionId: idOf(session) })];
}

function cancelAcked(session: Session, event: EventOf<'acked'>): Step {
  ackOf(event.ack, 'cancel-session');
  return afterCancel(session, true);
}

function cancelFailed(session: Session, { refusal }: EventOf<'failed'>): Step {
  const { meaning, error, isFromBits } = refusal;
  const isForgotten = isUnexplained(error) && (isStatus(error, 400) || isStatus(error, 404));
  if (meaning === 'session-not-found' || (isForgotten && isFromBits)) {
    // The Cancel came too late when a Close before it had put the file in place.
    return closedBefore(session) && session.afterCancel.kind === 'cancelled'
      ? finish(session, 'completed', { kind: 'completed', closed: 'presumed' })
      : afterCancel(session, true);
  }
  const mayPass =
    refusal.meaning === 'transient' || (refusal.meaning === 'misfit' && !session.newConnection);
  if (!mayPass || session.cancelAttempts >= session.plan.maxCancelAttempts) {
    return afterCancel(session, false, refusal.error);
  }
  // A server that failed may have dropped the session before; a busy one has not begun.
  const hasFailed = isStatus(error, 500) && !isNamed(refusal);
  const mayBeGone = hasFailed || mayHaveTakenEffect(refusal);
  return waitFor(mayBeGone ? maybeCancelled(session) : session, refusal);
}

/** The server says what is wrong, and so that it still has the session. */
function isNamed({ error, meaning }: Refusal): boolean {
  if (!(error instanceof BitsServerError) || isOfApplication(error)) return false;
  const { hresult } = error;
  // An HTTP status says no more as an HRESULT.
  const isReason = hresult !== undefined && httpStatusOf(hresult) === undefined;
  return isReason && meaning !== 'session-not-found';
}

/** No answer came, or one from a gateway that knows no more than that. */
function mayHaveTakenEffect({ error, unsent }: Refusal): boolean {
  if (!(error instanceof BitsServerError)) return unsent !== true;
  const { status } = error;
  // 520 to 527 are Cloudflare's, 598 and 599 those of other proxies.
  return status === 502 || status === 504 || (status >= 520 && status <= 527) || status >= 598;
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
  const doubtful = doubting(session, {
    probed: undefined,
    unconfirmed: true,
    forgotten: true,
    suspicions: 0,
    suspect: undefined,
  });
  return sendPing({ ...doubtful, restarts: 0, uselessStarts: 0, resyncs: 0, resentBytes: 0 });
}

function fallBack(session: Session): Step {
  return sendPing(doubting(atOrigin(session), { suspicions: 0, suspect: undefined }));
}

/** What the host-id's server has, and what it did with a Close, says nothing about the origin's. */
function atOrigin(session: Session): Session {
  const moved = { ...session, hostId: undefined, hostIdFallbackTimeoutMs: undefined };
  return doubting(moved, { closed: 'no', unconfirmed: true });
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

/** Sessions whose first fragment never arrives are no progress, however many there are. */
function sessionReady(session: Session): Session {
  return session.uselessStarts > 0 ? { ...session, everAcked: true } : forward(session);
}

function forward(session: Session): Session {
  return { ...session, everAcked: true, progress: session.progress + 1, newConnection: false };
}

function send(session: Session, packet: RequestPacket): Command {
  const target = session.hostId === undefined ? 'origin' : 'host-id';
  return { type: 'send', packet, target, newConnection: session.newConnection };
}

function idOf(session: Session): string {
  if (session.sessionId === undefined) throw new Error('session machine: no session id');
  return session.sessionId;
}

function pendingOf(session: Session): Pending {
  if (session.pending === undefined) throw new Error('session machine: no fragment is pending');
  return session.pending;
}

function ackOf<T extends Ack['type']>(ack: Ack, type: T): AckOf<T> {
  if (ack.type !== type) throw new Error(`session machine: a ${ack.type} ack to a ${type}`);
  return ack as AckOf<T>;
}
