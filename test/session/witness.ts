import { BitsServerError } from '../../src/errors.js';
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
  #id: string | undefined;
  #acked = 0;
  #coveredTo = 0;
  #restored = false;
  #replyUrl: string | undefined;
  #replyStored = false;
  #closeUnanswered = false;
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
    this.#replyUrl = record.replyUrl;
    this.#replyStored = record.replyStored;
    this.#closeUnanswered = record.closeUncertain;
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
        if (event.ack.type === 'create-session') this.#id = event.ack.sessionId;
        if (event.ack.type === 'fragment') {
          this.#told(event.ack.nextOffset, event.ack.replyUrl);
          this.#cancelSent = false;
          this.#cancelUnanswered = false;
        }
        if (packet?.type === 'close-session' || packet?.type === 'cancel-session') this.#bury();
        break;
      case 'failed': {
        const { meaning, nextOffset, replyUrl } = event.refusal;
        if (packet?.type === 'fragment' && nextOffset !== undefined)
          this.#told(nextOffset, replyUrl);
        if (meaning === 'session-not-found') this.#bury();
        else if (packet?.type === 'cancel-session') {
          const { error, unsent } = event.refusal;
          this.#cancelUnanswered ||= !(error instanceof BitsServerError) && unsent !== true;
        } else if (packet?.type === 'close-session') {
          const passing = meaning === 'transient' || meaning === 'not-bits';
          this.#closeUnanswered ||= passing && event.refusal.unsent !== true;
        }
        this.#onWire = undefined;
        break;
      }
      case 'replyStored':
        this.#replyStored = true;
        break;
      case 'retryDue':
      case 'replyGone':
        break;
      case 'fallbackExpired':
        this.#closeUnanswered = false;
        break;
      default:
        this.#interrupt();
        this.#callerActed();
    }
  }

  #told(nextOffset: number, replyUrl: string | undefined): void {
    const furthest = this.#restored ? this.#plan.totalBytes : this.#coveredTo;
    if (nextOffset > furthest) return;
    const complete = nextOffset === this.#plan.totalBytes;
    this.#replyUrl = complete ? (replyUrl ?? this.#replyUrl) : undefined;
    if (nextOffset > this.#acked) this.#idleSends = 0;
    this.#acked = nextOffset;
  }

  #bury(): void {
    if (this.#id !== undefined) this.#dead.add(this.#id);
  }

  #interrupt(): void {
    if (this.#onWire?.type === 'close-session') this.#closeUnanswered = true;
    if (this.#onWire?.type === 'cancel-session') this.#cancelUnanswered = true;
    this.#onWire = undefined;
  }

  #callerActed(): void {
    this.#finishes = 0;
    this.#creates = 0;
    this.#idleSends = 0;
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
    if (session.progress > this.#progress || command.type === 'wait') this.#idleSends = 0;
    this.#progress = session.progress;
    if (command.type === 'send') this.#watchPacket(event, command.packet);
    if (command.type === 'download') {
      this.#law(this.#plan.reply !== 'none', 'downloads a reply that nobody wants');
      this.#law(this.#acked === totalBytes, 'downloads a reply before the end');
      this.#law(command.replyUrl === this.#replyUrl, 'downloads what was not announced');
    }
    if (command.type === 'finish') this.#watchFinish(event, session, command);
    this.#law(this.#creates <= maxRestarts + 2, 'restarts without end');
    this.#law(this.#idleSends <= MOST_IDLE_SENDS, 'continues without progress');
  }

  #watchPacket(event: SessionEvent, packet: RequestPacket): void {
    const { totalBytes, reply } = this.#plan;
    this.#onWire = packet;
    this.#idleSends += 1;
    if ('sessionId' in packet) {
      this.#law(packet.sessionId === this.#id, 'uses an id that is not the newest');
      this.#law(!this.#dead.has(packet.sessionId), 'uses a dead session');
    }
    switch (packet.type) {
      case 'create-session':
        if (event.type !== 'retryDue') this.#creates += 1;
        this.#id = undefined;
        this.#acked = 0;
        this.#coveredTo = 0;
        this.#restored = false;
        this.#replyUrl = undefined;
        this.#replyStored = false;
        this.#closeUnanswered = false;
        this.#cancelSent = false;
        this.#cancelUnanswered = false;
        break;
      case 'cancel-session':
        this.#cancelSent = true;
        break;
      case 'fragment': {
        const { start, end, total } = packet.range;
        this.#law(total === totalBytes, 'changes the total');
        this.#law(start >= 0 && start < end && end <= totalBytes, 'sends no bytes of the file');
        this.#law(end - start <= this.#capBytes, 'sends more than the cap');
        this.#law(this.#restored || start <= this.#coveredTo, 'leaves a hole');
        const repeatsLast = this.#acked === totalBytes && end === totalBytes;
        this.#law(start === this.#acked || repeatsLast, 'sends not from where the server stands');
        this.#law(!repeatsLast || reply !== 'none', 'repeats the last fragment for no reply');
        this.#coveredTo = Math.max(this.#coveredTo, end);
        break;
      }
      case 'close-session':
        this.#law(this.#acked === totalBytes, 'closes with bytes unacknowledged');
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
      const presumable = this.#closeUnanswered && !this.#cancelUnanswered;
      this.#law(acknowledged || presumable, 'presumes a Close for no reason');
    }
  }

  #law(holds: boolean, violation: string): void {
    if (!holds) throw new Error(`${violation}; so far:\n  ${this.#log.slice(-60).join('\n  ')}`);
  }
}
