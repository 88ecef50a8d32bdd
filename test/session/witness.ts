import { type BitsError, BitsServerError } from '../../src/errors.js';
import type { RequestPacket } from '../../src/protocol/packets.js';
import type {
  Command,
  Session,
  SessionEvent,
  SessionPlan,
  SessionSnapshot,
} from '../../src/session/session.js';
import { isFinal } from '../../src/session/session.js';
import { said } from './script.js';

/** Far more than any honest run needs without progress, far less than a busy loop makes. */
const MOST_IDLE_SENDS = 60;

/**
 * Follows a session from outside, by what was commanded and answered alone, and throws when a law
 * is broken. It shares no code with the machine, and never looks at what the machine believes.
 */
export class Witness {
  readonly seen = new Set<string>();
  readonly #plan: SessionPlan;
  readonly #capBytes: number;
  readonly #log: string[] = [];
  readonly #dead = new Set<string>();
  #onWire: RequestPacket | undefined;
  #last: RequestPacket | undefined;
  #id: string | undefined;
  #acked = 0;
  #mostAcked = 0;
  /** A fragment may have been taken, though no answer said so. */
  #inDoubt = false;
  /** What the first of two probes was told. */
  #probed: number | undefined;
  /** Nothing since the last rest, or since another server is asked, shows that it has the session. */
  #isUnshown = false;
  /** A request about the session got no answer since the server has shown that it has it. */
  #isSilent = false;
  /** The server appended a probe, or may have. */
  #isDistrusted = false;
  /** The last Ping asked whether the session is forgotten. */
  #isSuspecting = false;
  #vainCreates = 0;
  #furthest = 0;
  #resent = 0;
  #coveredTo = 0;
  #restored = false;
  #replyUrl: string | undefined;
  #replyStored = false;
  #closeUnanswered = false;
  /** A Close was answered with an error that may come after its effect. */
  #closeFailed = false;
  /** The last Close was refused for a reason that is not the session. */
  #closeDenied = false;
  /** A Cancel of the session was sent. */
  #cancelSent = false;
  /** One of them may have ended the session, though no answer said so. */
  #cancelUnanswered = false;
  #finishes = 0;
  #creates = 0;
  #idleSends = 0;
  #progress = 0;

  constructor(plan: SessionPlan, capBytes = Number.POSITIVE_INFINITY) {
    this.#plan = plan;
    this.#capBytes = capBytes;
  }

  /** Another process resumes from the newest record: what was on the wire is lost. */
  restored(record: SessionSnapshot): void {
    this.#interrupt();
    this.#log.push('restored');
    this.#law(record.offset <= this.#acked, 'records bytes that nobody acknowledged');
    const live = this.#id !== undefined && !this.#dead.has(this.#id);
    this.#law(record.sessionId === (live ? this.#id : undefined), 'records another session');
    const knowsClose = record.closeUncertain || this.#cancelSent;
    this.#law(knowsClose || !this.#closeUnanswered, 'forgets a Close');
    const isReal = this.#closeUnanswered || !record.closeUncertain;
    this.#law(isReal, 'records a Close that would prove nothing');
    this.#law(!record.closeUncertain || !this.#cancelUnanswered, 'records a Close past a Cancel');
    this.#restart(record);
  }

  /** Another process resumes from an older record, so that the server knows more than it. */
  restoredFromOlder(record: SessionSnapshot): void {
    this.#log.push('restored from an older record');
    if (record.sessionId !== undefined) this.#dead.delete(record.sessionId);
    this.#restart(record);
  }

  #restart(record: SessionSnapshot): void {
    this.#id = record.sessionId;
    this.#onWire = undefined;
    this.#acked = record.offset;
    this.#mostAcked = record.offset;
    this.#inDoubt = record.offset < this.#plan.totalBytes;
    this.#probed = undefined;
    this.#isDistrusted = false;
    this.#furthest = record.offset;
    this.#replyUrl = record.replyUrl;
    this.#replyStored = record.replyStored;
    this.#closeUnanswered = record.closeUncertain;
    this.#closeFailed = false;
    this.#cancelSent = false;
    this.#cancelUnanswered = false;
    this.#restored = true;
    this.#callerActed();
  }

  observe(event: SessionEvent, session: Session, command: Command): void {
    this.#log.push(`${event.type} → ${said(command)}`);
    this.#hear(event);
    this.#watch(event, session, command);
  }

  #hear(event: SessionEvent): void {
    const packet = this.#onWire;
    switch (event.type) {
      case 'acked':
        this.#onWire = undefined;
        if (event.ack.type === 'create-session') {
          this.#id = event.ack.sessionId;
          this.#isUnshown = event.ack.hostId !== undefined;
        }
        if (event.ack.type === 'fragment' && packet?.type === 'fragment') {
          this.#heardOffset(packet, event.ack.nextOffset, event.ack.replyUrl);
        }
        if (packet?.type === 'close-session' || packet?.type === 'cancel-session') this.#bury();
        break;
      case 'failed': {
        const { meaning, error, nextOffset, replyUrl } = event.refusal;
        const isAnswered = error instanceof BitsServerError || meaning === 'not-bits';
        this.#isSilent ||= !isAnswered && packet?.type !== 'ping';
        if (packet?.type === 'fragment') {
          const passing = ['transient', 'not-bits', 'misfit'].includes(meaning);
          const isAnswer = event.refusal.error instanceof BitsServerError;
          const isTaken = isOfApplication(event.refusal.error);
          const isLost = (passing || !isAnswer || isTaken) && event.refusal.unsent !== true;
          const isAdrift =
            meaning === 'out-of-step' && nextOffset === undefined && packet.range.start > 0;
          this.#inDoubt ||= isLost || isAdrift;
          if (passing && event.refusal.unsent !== true) this.#probed = undefined;
          if (nextOffset !== undefined) this.#refusedAt(packet, nextOffset, replyUrl);
        }
        // A Ping names no session.
        if (meaning === 'session-not-found' && packet?.type !== 'ping') this.#bury();
        else if (packet?.type === 'cancel-session') {
          const { error, unsent } = event.refusal;
          const isAnswer = error instanceof BitsServerError;
          const hasFailed = isAnswer && error.status === 500 && !saysWhatIsWrong(error);
          this.#cancelUnanswered ||= (!isAnswer || hasFailed) && unsent !== true;
        } else if (packet?.type === 'close-session') {
          const { error, unsent } = event.refusal;
          const passing = ['transient', 'not-bits', 'misfit'].includes(meaning) && unsent !== true;
          const isNamed = saysWhatIsWrong(error);
          const isForbidden = error instanceof BitsServerError && [403, 409].includes(error.status);
          this.#closeDenied = isNamed || isForbidden;
          if (isNamed) {
            this.#closeFailed = false;
            this.#closeUnanswered = false;
          } else if (passing && !this.#mayBeMissing()) {
            if (error instanceof BitsServerError) this.#closeFailed = true;
            else this.#closeUnanswered = true;
          }
        }
        this.#onWire = undefined;
        break;
      }
      case 'replyStored':
        this.#replyStored = true;
        this.#isUnshown = false;
        this.#isSilent = false;
        break;
      case 'retryDue':
      case 'replyGone':
        break;
      case 'fallbackExpired':
        this.#closeUnanswered = false;
        this.#closeFailed = false;
        this.#isUnshown = true;
        break;
      default:
        this.#interrupt();
        this.#callerActed();
    }
  }

  /** The ack for a fragment; one for a probe counts only when the server did not append the probe. */
  #heardOffset(
    { range }: Extract<RequestPacket, { type: 'fragment' }>,
    nextOffset: number,
    replyUrl: string | undefined,
  ): void {
    const { start, end } = range;
    if (!this.#isProbe(range)) {
      if (nextOffset <= start) this.#inDoubt = true;
      else this.#told(nextOffset, replyUrl) && this.#isAlive();
      return;
    }
    const isPart = nextOffset > start && nextOffset <= end;
    if (isPart || nextOffset === (this.#probed ?? Number.NaN) + end - start) {
      this.#isDistrusted = true;
    } else if (nextOffset !== this.#acked && nextOffset !== this.#probed) {
      this.#probed = nextOffset;
    } else if (nextOffset <= start) {
      this.#isDistrusted = true;
    } else if (this.#told(nextOffset, replyUrl)) this.#isAlive();
  }

  /** An out-of-step answer: a new offset of a probe waits for a second one. */
  #refusedAt(
    { range }: Extract<RequestPacket, { type: 'fragment' }>,
    nextOffset: number,
    replyUrl: string | undefined,
  ): void {
    const { start, end } = range;
    const isProbe = this.#isProbe(range);
    if (isProbe && this.#probed !== undefined && nextOffset === this.#probed + end - start) {
      this.#isDistrusted = true;
      return;
    }
    const isNews = isProbe && this.#probed === undefined && nextOffset > end;
    if (isNews && nextOffset !== this.#acked && nextOffset <= this.#reach()) {
      this.#probed = nextOffset;
    } else {
      this.#told(nextOffset, replyUrl);
    }
  }

  /** A session that takes a fragment was ended by no Close and by no Cancel. */
  #isAlive(): void {
    this.#closeUnanswered = false;
    this.#closeFailed = false;
    this.#cancelSent = false;
    this.#cancelUnanswered = false;
  }

  /** @returns whether the offset is possible */
  #told(nextOffset: number, replyUrl: string | undefined): boolean {
    const furthest = this.#reach();
    this.#probed = undefined;
    if (nextOffset > furthest) {
      this.#inDoubt = true;
      return false;
    }
    const complete = nextOffset === this.#plan.totalBytes;
    this.#replyUrl = complete ? (replyUrl ?? this.#replyUrl) : undefined;
    this.#acked = nextOffset;
    this.#mostAcked = Math.max(this.#mostAcked, nextOffset);
    this.#inDoubt = false;
    this.#isUnshown = false;
    this.#isSilent = false;
    return true;
  }

  #isProbe({ end }: { readonly end: number }): boolean {
    return end < this.#acked || (this.#acked <= 1 && this.#inDoubt);
  }

  #bury(): void {
    if (this.#id !== undefined) this.#dead.add(this.#id);
  }

  #interrupt(): void {
    if (this.#onWire?.type === 'fragment') this.#inDoubt = true;
    this.#probed = undefined;
    if (this.#onWire?.type === 'close-session') this.#closeUnanswered ||= !this.#mayBeMissing();
    if (this.#onWire?.type === 'cancel-session') this.#cancelUnanswered = true;
    this.#onWire = undefined;
  }

  #callerActed(): void {
    this.#isUnshown = true;
    this.#finishes = 0;
    this.#creates = 0;
    this.#idleSends = 0;
    this.#vainCreates = 0;
    this.#resent = 0;
  }

  #watch(event: SessionEvent, session: Session, command: Command): void {
    const { totalBytes, maxRestarts } = this.#plan;
    this.seen.add(
      said(command)
        .replace(/ (?:\d+-\d+|BITS.*)/, '')
        .replace(' @host-id', ''),
    );
    this.#law(session.offset >= 0 && session.offset <= totalBytes, 'the offset left the file');
    this.#law(
      ['pause', 'finish'].includes(command.type) ===
        ['caller', 'nothing'].includes(session.awaiting),
      'rests if and only if nothing is to come',
    );
    if (session.progress > this.#progress || command.type === 'wait') {
      this.#idleSends = 0;
      this.#vainCreates = 0;
    }
    this.#progress = session.progress;
    if (command.type === 'send') this.#watchPacket(event, command.packet);
    if (command.type === 'download') {
      this.#law(this.#plan.reply !== 'none', 'downloads a reply that nobody wants');
      this.#law(this.#acked === totalBytes, 'downloads a reply before the end');
      this.#law(command.replyUrl === this.#replyUrl, 'downloads what was not announced');
    }
    if (command.type === 'finish') this.#watchFinish(event, session, command);
    this.#law(this.#creates <= maxRestarts + 2, 'restarts without end');
    this.#law(this.#vainCreates <= 1, 'restarts in vain without a wait');
    this.#law(this.#idleSends <= MOST_IDLE_SENDS, 'continues without progress');
  }

  #watchPacket(event: SessionEvent, packet: RequestPacket): void {
    const { totalBytes, reply } = this.#plan;
    // A Ping after a refusal asks whether the session is forgotten, and then nothing is certain.
    const isSuspicion = packet.type === 'ping' && event.type === 'failed';
    if (packet.type !== 'cancel-session') this.#isSuspecting = isSuspicion;
    if (isSuspicion && this.#last?.type === 'fragment') {
      this.#inDoubt = true;
      this.#probed = undefined;
    }
    const before = this.#last;
    this.#last = packet;
    this.#onWire = packet;
    this.#idleSends += 1;
    if ('sessionId' in packet) {
      this.#law(packet.sessionId === this.#id, 'uses an id that is not the newest');
      this.#law(!this.#dead.has(packet.sessionId), 'uses a dead session');
    }
    switch (packet.type) {
      case 'create-session':
        // Nothing is lost when the server has nothing that counts; but it must not go round in circles.
        if (this.#isDistrusted && this.#mostAcked <= 1 && this.#mostAcked < totalBytes) {
          this.#vainCreates += 1;
        } else if (event.type !== 'retryDue' && !isOfConnection(event)) this.#creates += 1;
        this.#id = undefined;
        this.#acked = 0;
        this.#mostAcked = 0;
        this.#inDoubt = false;
        this.#probed = undefined;
        this.#isDistrusted = false;
        this.#coveredTo = 0;
        this.#restored = false;
        this.#replyUrl = undefined;
        this.#replyStored = false;
        this.#closeUnanswered = false;
        this.#closeFailed = false;
        this.#closeDenied = false;
        this.#isUnshown = false;
        this.#isSilent = false;
        this.#cancelSent = false;
        this.#cancelUnanswered = false;
        break;
      case 'cancel-session': {
        this.#cancelSent = true;
        this.#closeDenied = false;
        const isAdrift = event.type === 'failed' && event.refusal.meaning === 'out-of-step';
        const isAsked = /Requested|Changed/.test(event.type) || this.#isSuspecting;
        const isAgain = before?.type === 'cancel-session';
        // Without a byte to probe with there is nothing else to do.
        if (!isAsked && !isAgain && !isAdrift) {
          const isShort = this.#acked <= 1 && this.#reach() - 1 <= this.#acked;
          if (this.#inDoubt && isShort) this.#isDistrusted = true;
        }
        break;
      }
      case 'fragment': {
        const { start, end, total } = packet.range;
        this.#law(total === totalBytes, 'changes the total');
        this.#law(start >= 0 && start < end && end <= totalBytes, 'sends no bytes of the file');
        this.#law(end - start <= this.#capBytes, 'sends more than the cap');
        this.#law(this.#restored || start <= this.#coveredTo, 'leaves a hole');
        this.#law(!this.#isDistrusted, 'sends bytes to a session that it cannot trust');
        const asksForReply = this.#acked === totalBytes && end === totalBytes;
        const isBelow = end < this.#acked || (this.#acked <= 1 && end < this.#reach());
        if (this.#inDoubt) {
          this.#law(isBelow, 'sends new bytes while the offset is in doubt');
          this.#law(end - start <= 2560, 'probes with more than it must');
        } else if (isBelow && this.#mayBeMissing() && this.#acked === totalBytes) {
          this.#inDoubt = true;
        } else {
          this.#law(
            start === this.#acked || asksForReply,
            'sends not from the offset of the server',
          );
          this.#law(!asksForReply || reply !== 'none', 'asks for a reply that nobody wants');
          this.#law(!asksForReply || end - start <= 2560, 'asks with more than it must');
          this.#law(!asksForReply || !this.#isUnshown, 'asks a server that may append');
        }
        this.#resent += Math.max(0, Math.min(end, this.#furthest) - start);
        this.#furthest = Math.max(this.#furthest, end);
        this.#law(this.#resent <= 8 * totalBytes + 2 ** 26, 'sends too many bytes again');
        this.#coveredTo = Math.max(this.#coveredTo, end);
        break;
      }
      case 'close-session':
        this.#closeDenied = false;
        this.#law(!this.#inDoubt && !this.#isDistrusted, 'closes while the offset is in doubt');
        this.#law(this.#acked === totalBytes, 'closes with bytes unacknowledged');
        if (this.#acked > 1 && this.#plan.onUncertainFragment === 'resend') {
          const isAgain = this.#closeUnanswered || this.#closeFailed;
          this.#law(isAgain || !this.#mayBeMissing(), 'closes what the server may not have');
        }
        if (reply !== 'none') {
          const none = reply === 'optional' && this.#replyUrl === undefined;
          this.#law(this.#replyStored || none, 'closes with the reply not stored');
        }
        break;
    }
  }

  #watchFinish(event: SessionEvent, session: Session, command: Command): void {
    if (command.type !== 'finish') return;
    const { outcome } = command;
    this.#finishes += 1;
    this.#law(this.#finishes === 1, 'finishes twice');
    if (outcome.kind === 'failed') {
      const live = this.#id !== undefined && !this.#dead.has(this.#id);
      if (outcome.resumable) {
        this.#law(live && session.sessionId === this.#id, 'calls a dead session resumable');
        this.#law(!isFinal(session.state), 'calls a final state resumable');
      }
    }
    if (outcome.kind === 'completed') {
      this.#law(this.#acked === this.#plan.totalBytes, 'completes with bytes unacknowledged');
      const acknowledged = event.type === 'acked' && event.ack.type === 'close-session';
      this.#law(acknowledged === (outcome.closed === 'acknowledged'), 'misreports the Close');
      const presumable = this.#mayBeClosed(this.#plan.mayResend === true);
      this.#law(acknowledged || presumable, 'presumes a Close for no reason');
      this.#law(
        acknowledged || !this.#closeDenied,
        'presumes a Close that was refused for a reason',
      );
    }
  }

  /** A Close may have worked: one without an answer, one that failed, or one sent again in secret. */
  #mayBeClosed(isSentTwice: boolean): boolean {
    const isShown = !this.#isUnshown && !this.#isSilent;
    const isPossible = this.#closeUnanswered || this.#closeFailed || (isSentTwice && isShown);
    return isPossible && !this.#cancelUnanswered;
  }

  /** The server may not have the session any more, or never have had it. A reply came from it. */
  #mayBeMissing(): boolean {
    return this.#isUnshown && !this.#replyStored;
  }

  /** End of the furthest byte that the server may hold. */
  #reach(): number {
    return this.#restored ? this.#plan.totalBytes : this.#coveredTo;
  }

  #law(holds: boolean, violation: string): void {
    if (!holds) throw new Error(`${violation}; so far:\n  ${this.#log.slice(-60).join('\n  ')}`);
  }
}

/** The application is asked when the server has taken what it is about. */
function isOfApplication(error: BitsError): boolean {
  return error instanceof BitsServerError && error.context === 7;
}

/** An HRESULT of the server, but not one that repeats an HTTP status. */
function saysWhatIsWrong(error: BitsError): boolean {
  if (!(error instanceof BitsServerError) || isOfApplication(error)) return false;
  const { hresult = 0 } = error;
  return hresult !== 0 && hresult !== 0x8020001f && hresult >>> 16 !== 0x8019;
}

/** The same packet once more is no new attempt. */
function isOfConnection(event: SessionEvent): boolean {
  if (event.type !== 'failed') return false;
  return event.refusal.staleConnection === true || event.refusal.meaning === 'misfit';
}
