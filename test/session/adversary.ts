import fc from 'fast-check';
import type {
  Session,
  SessionEvent,
  SessionPlan,
  SizerOptions,
} from '../../src/session/session.js';
import {
  busy,
  cancel,
  cancelled,
  closed,
  created,
  denied,
  fallbackExpired,
  gaveUp,
  gone,
  has,
  lost,
  MIN,
  maybeTooLarge,
  misfit,
  notBits,
  ofApplication,
  outOfStep,
  pinged,
  replyGone,
  replyStored,
  resume,
  retryDue,
  sourceChanged,
  stale,
  start,
  status,
  suspend,
  tooLarge,
  URL_OF_REPLY,
  unknown,
  unsent,
} from './script.js';

/** Numbers that pick among what is legal; fast-check shrinks them towards the friendly answers. */
export interface Choice {
  readonly kind: number;
  readonly which: number;
  readonly offset: number;
}

export const choices = fc.record<Choice>({
  kind: fc.nat(99),
  which: fc.nat(99),
  offset: fc.nat(99_999),
});

const totals = fc.oneof(fc.nat(20), fc.integer({ min: 1, max: 12 * MIN }), fc.constant(4 * MIN));

export const plans: fc.Arbitrary<SessionPlan> = fc
  .record<SessionPlan>({
    totalBytes: totals,
    contentName: fc.constant('dump.bin'),
    reply: fc.constantFrom('none', 'required', 'optional'),
    onUncertainFragment: fc.constantFrom('resend', 'resend', 'restart'),
    maxRestarts: fc.nat(3),
    maxResyncs: fc.nat(3),
    maxCancelAttempts: fc.integer({ min: 1, max: 3 }),
    mayResend: fc.boolean(),
  })
  .map((plan) => ({
    ...plan,
    reply: plan.totalBytes === 0 && plan.reply === 'required' ? 'none' : plan.reply,
    mayResend: plan.mayResend === true && plan.onUncertainFragment === 'resend',
  }));

export const sizers: fc.Arbitrary<SizerOptions> = fc.record({
  fixedBytes: fc.option(
    fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: MIN, max: 6 * MIN })),
    {
      nil: undefined,
    },
  ),
  capBytes: fc.option(fc.integer({ min: MIN, max: 8 * MIN }), { nil: undefined }),
});

/** An environment that may do anything the protocol lets happen. */
export class Adversary {
  #sessions = 0;

  /** What happens next to a session that still waits for something. */
  next(session: Session, choice: Choice): SessionEvent {
    const { kind } = choice;
    if (session.awaiting === 'start') return kind < 90 ? start : pick([suspend, cancel], choice);
    if (session.awaiting === 'caller') {
      return kind < 85 ? resume : pick([cancel, sourceChanged], choice);
    }
    if (kind >= 92) {
      const wishes = [suspend, suspend, suspend, cancel];
      if (session.state !== 'cancel-session') wishes.push(sourceChanged);
      if (session.awaiting !== 'reply') wishes.push(gaveUp);
      return pick(wishes, choice);
    }
    if (session.awaiting === 'retry') {
      return kind < 70 || session.hostId === undefined ? retryDue : fallbackExpired;
    }
    return this.answer(session, choice);
  }

  /** An answer, honest or not, to what is on the wire. */
  answer(session: Session, choice: Choice): SessionEvent {
    if (session.awaiting === 'reply') {
      if (choice.kind < 50) return replyStored;
      return choice.kind < 65 ? replyGone : refused(choice);
    }
    return choice.kind < 55 ? this.#success(session, choice) : this.#refusal(session, choice);
  }

  #success(session: Session, choice: Choice): SessionEvent {
    switch (session.state) {
      case 'create-session':
        this.#sessions += 1;
        return created(
          pick([{}, { hostId: 'web3', hostIdFallbackTimeoutMs: 1 }, {}], choice),
          `session-${this.#sessions}`,
        );
      case 'ping':
        return pinged;
      case 'close-session':
        return closed;
      case 'cancel-session':
        return cancelled;
      default: {
        const url = choice.which % 2 === 0 ? URL_OF_REPLY : undefined;
        return has(offsetOf(session, choice), url, choice.which * 100);
      }
    }
  }

  #refusal(session: Session, choice: Choice): SessionEvent {
    if (session.state !== 'fragment') return refused(choice);
    const url = choice.which % 2 === 0 ? URL_OF_REPLY : undefined;
    const mis = outOfStep(offsetOf(session, choice), url);
    return pick([mis, mis, mis, outOfStep(), tooLarge, maybeTooLarge, refused(choice)], {
      ...choice,
      which: choice.offset,
    });
  }
}

function refused(choice: Choice): SessionEvent {
  return pick(
    [
      lost,
      lost,
      unsent,
      busy,
      gone,
      notBits,
      denied,
      stale,
      stale,
      misfit,
      unknown(400),
      status(400, 'fatal'),
      status(416, 'fatal'),
      unknown(500),
      status(500, 'transient'),
      status(500, 'transient', 0x801901f4),
      status(403, 'fatal'),
      status(409, 'fatal'),
      ofApplication(403, 'fatal'),
      ofApplication(500, 'transient', 0x80004005),
      status(401, 'unauthorized'),
      status(307, 'redirect'),
    ],
    choice,
  );
}

function offsetOf(session: Session, { which, offset }: Choice): number {
  const { pending, sentTo, bestOffset, plan } = session;
  const { start: from, end } = pending ?? { start: 0, end: 0 };
  return pick(
    [
      end,
      end,
      end,
      end,
      end,
      sentTo,
      sentTo,
      Math.floor((from + end) / 2),
      from,
      0,
      sentTo,
      bestOffset,
      plan.totalBytes,
      end + 1,
      plan.totalBytes + 1,
      Number.MAX_SAFE_INTEGER,
      offset % (plan.totalBytes + 1),
    ],
    { kind: 0, which, offset },
  );
}

function pick<T>(from: readonly T[], { which }: Choice): T {
  const picked = from[which % from.length];
  if (picked === undefined) throw new Error('nothing to pick from');
  return picked;
}
