import { expect } from 'chai';
import { BitsStateError, isBitsError } from '../../src/errors.js';
import { step } from '../../src/session/machine.js';
import {
  assertMayClose,
  completionWarnings,
  createSession,
  isFinal,
  owesReply,
  restoreSession,
  type Session,
  type SessionEvent,
  type SessionSnapshot,
  type SessionState,
  snapshotOf,
} from '../../src/session/session.js';
import {
  atClose,
  atLast,
  atReply,
  BIG,
  begun,
  type Case,
  casesOf,
  DOWNLOAD,
  groups,
  HOST,
  HOST_WITH_FALLBACK,
  probe,
} from './machine-cases.js';
import {
  busy,
  cancel,
  cancelled,
  closed,
  created,
  denied,
  errorOf,
  fallbackExpired,
  gaveUp,
  gone,
  has,
  ID,
  lost,
  MIN,
  notBits,
  outOfStep,
  PLAN,
  pinged,
  play,
  refusal,
  replyGone,
  replyStored,
  resume,
  retryDue,
  type Script,
  sourceChanged,
  start,
  suspend,
  tooLarge,
  URL_OF_REPLY,
  unknown,
} from './script.js';

/** What is sent again of {@link BIG} to be told the reply. */
const END_OF_BIG = `fragment ${10 * MIN - 2560}-${10 * MIN}`;

function sessionOf({ plan, sizer }: Pick<Case, 'plan' | 'sizer'>): Session {
  return createSession({ ...PLAN, ...plan }, sizer ?? { fixedBytes: 100 });
}

/** Events, or steps of a script, of which the commands do not matter here. */
type Steps = readonly (SessionEvent | Script[number])[];

function eventsOf(steps: Steps): SessionEvent[] {
  return steps.map((one) => ('type' in one ? one : one[0]));
}

function sessionAfter(steps: Steps, of: Pick<Case, 'plan' | 'sizer'> = {}): Session {
  return play(sessionOf(of), eventsOf(steps)).session;
}

describe('the session machine', () => {
  for (const [title, group] of Object.entries(groups)) {
    describe(title, () => {
      for (const [sentence, one] of casesOf(group)) {
        it(sentence, () => {
          const run = play(sessionOf(one), eventsOf(one.script));
          expect(run.said).to.deep.equal(one.script.map(([, command]) => command));
          if (one.tells) expect(errorOf(run.commands.at(-1)).message).to.match(one.tells);
        });
      }
    });
  }

  it('does not blame the server for a first fragment that is interrupted again and again', () => {
    const interrupted = [lost, retryDue, has(99)];
    const twice = [...interrupted, cancelled, created(), ...interrupted];
    const command = play(sessionOf({}), [start, created(), ...twice]).commands.at(-1);
    expect(command?.type === 'wait' && command.refusal.error.message).to.match(
      /^The first fragment was interrupted/,
    );
  });

  it('puts the session id, the name and the range into every packet', () => {
    const { commands } = play(sessionOf({}), eventsOf([...atClose, cancel]));
    const packets = commands.map((command) => command.type === 'send' && command.packet);
    expect(packets.slice(3)).to.deep.equal([
      {
        type: 'fragment',
        sessionId: ID,
        contentName: 'dump.bin',
        range: { start: 200, end: 250, total: 250 },
      },
      { type: 'close-session', sessionId: ID },
      { type: 'cancel-session', sessionId: ID },
    ]);
  });

  it('uses the id of the newest session', () => {
    const { commands } = play(sessionOf({}), [start, created(), gone, created({}, 'two')]);
    expect(commands.at(-1)).to.have.nested.property('packet.sessionId', 'two');
  });

  it('passes on the refusal that it waits for', () => {
    const { commands } = play(sessionOf({}), [start, busy]);
    expect(commands.at(-1)).to.deep.equal({
      type: 'wait',
      refusal: (busy as Extract<SessionEvent, { type: 'failed' }>).refusal,
    });
  });

  it('ends with the error of the refusal itself', () => {
    const { commands } = play(sessionOf({}), [start, denied]);
    expect(errorOf(commands.at(-1))).to.equal(
      (denied as Extract<SessionEvent, { type: 'failed' }>).refusal.error,
    );
  });

  it('knows nothing before it starts', () => {
    expect(sessionOf({})).to.include({ progress: 0, offset: 0, bestOffset: 0, restarts: 0 });
    expect(step(sessionOf({}), start)[0]).to.deep.equal({
      ...sessionOf({}),
      state: 'create-session',
      awaiting: 'answer',
    });
  });

  it('says for how long a host-id may fail', () => {
    const { hostIdFallbackTimeoutMs } = sessionAfter([start, created(HOST_WITH_FALLBACK)]);
    expect(hostIdFallbackTimeoutMs).to.equal(1000);
  });

  it('keeps nothing of a lost session except what it has learnt about the server', () => {
    const plan = { totalBytes: 8 * MIN, reply: 'required' } as const;
    const { session } = play(sessionOf({ plan, sizer: BIG.sizer }), [
      start,
      created(HOST_WITH_FALLBACK),
      pinged,
      has(4 * MIN),
      outOfStep(4 * MIN),
      has(8 * MIN, URL_OF_REPLY),
      replyStored,
      lost,
      cancel,
      lost,
      suspend,
      resume,
      pinged,
      gone,
    ]);
    const { progress, sizer } = session;
    expect(session).to.deep.equal({
      ...sessionOf({ plan }),
      state: 'create-session',
      awaiting: 'answer',
      everAcked: true,
      bestOffset: 8 * MIN,
      furthestSent: 8 * MIN,
      restarts: 1,
      restartReason: 'The server lost the session',
      cancelAttempts: 1,
      progress,
      sizer,
    });
    expect(sizer.largestPassedBytes).to.equal(4 * MIN);
  });

  describe('counts as progress', () => {
    const progressAfter = (...events: SessionEvent[]) =>
      sessionAfter([...begun, ...events]).progress;
    const before = progressAfter();

    it('a fragment that is acknowledged for the first time in a session', () => {
      expect(progressAfter(has(100))).to.equal(before + 1);
    });

    it('a part of a fragment of at least 5 KiB, and not a smaller one', () => {
      const bytes = (taken: number) => sessionAfter([start, created(), has(taken)], BIG).progress;
      expect(bytes(MIN)).to.equal(before + 1);
      expect(bytes(MIN - 1)).to.equal(before);
    });

    it('a Ping, a session and a reply', () => {
      expect(progressAfter(gone, created())).to.equal(before + 1);
      expect(progressAfter(suspend, resume, pinged)).to.equal(before + 1);
      const reply = { plan: { reply: 'required' } } as const;
      const stored = sessionAfter([...atReply, replyStored], reply).progress;
      expect(stored).to.equal(sessionAfter(atReply, reply).progress + 1);
    });

    it('no failure, no lower offset and no byte that was acknowledged before', () => {
      expect(progressAfter(lost, retryDue, lost)).to.equal(before);
      expect(progressAfter(outOfStep(0))).to.equal(before);
      expect(progressAfter(has(100), outOfStep(0), has(100))).to.equal(before + 1);
    });

    it('no new session that follows a first fragment in doubt', () => {
      const restarted = [lost, retryDue, has(99), cancelled, created()];
      expect(progressAfter(...restarted)).to.equal(before);
      expect(progressAfter(...restarted, has(100))).to.equal(before + 1);
    });

    it('of the whole upload only what no session had acknowledged', () => {
      const again = sessionAfter([...begun, has(100), has(200), gone, created(), has(100)]);
      expect(again.bestOffset).to.equal(200);
      expect(again.sessionBestOffset).to.equal(100);
      const later = play(again, [has(200), has(250)]).session;
      expect(later.bestOffset).to.equal(250);
    });
  });

  describe('with a restored session', () => {
    const restored = (snapshot: Partial<SessionSnapshot>, of: Pick<Case, 'plan' | 'sizer'> = {}) =>
      restoreSession(
        { ...PLAN, ...of.plan },
        { ...snapshotOf(sessionOf(of)), sessionId: ID, ...snapshot },
        of.sizer ?? { fixedBytes: 100 },
      );
    const goesOn = (session: Session, ...events: SessionEvent[]) =>
      play(session, [resume, ...events]).said;

    it('begins with a Ping and asks for the offset with a probe', () => {
      expect(goesOn(restored({ offset: 2 * MIN }, BIG), pinged)).to.deep.equal([
        'ping',
        probe(2 * MIN),
      ]);
    });

    it('resumes at the host-id of the session', () => {
      expect(goesOn(restored({ ...HOST_WITH_FALLBACK, offset: 100 }), pinged)).to.deep.equal([
        'ping @host-id',
        `${probe(100)} @host-id`,
      ]);
    });

    it('believes any offset up to the total', () => {
      expect(goesOn(restored({ offset: 0 }), pinged, has(250), has(250))[3]).to.equal(
        'close-session',
      );
    });

    it('believes no offset above the total', () => {
      expect(goesOn(restored({ offset: 0 }), pinged, outOfStep(251))[2]).to.equal(
        'fragment 0-249 anew',
      );
    });

    it('takes a recorded offset above the total for the total', () => {
      const session = restored({ offset: 999 });
      expect(session).to.include({ offset: 250, bestOffset: 250, sessionBestOffset: 250 });
      expect(goesOn(session, pinged, has(250)).slice(1)).to.deep.equal([
        'fragment 0-249',
        'close-session',
      ]);
    });

    it('creates a session when the record has none', () => {
      expect(goesOn(restored({ sessionId: undefined }), pinged, created())).to.deep.equal([
        'ping',
        'create-session',
        'fragment 0-100',
      ]);
    });

    it('takes an answer that is not an Ack for temporary when there was a session, and for fatal otherwise', () => {
      expect(goesOn(restored({}), notBits)[1]).to.equal('wait');
      expect(goesOn(restored({ sessionId: undefined }), notBits)[1]).to.equal(
        'failed BITS_ERR_NOT_BITS',
      );
    });

    it('downloads a reply that is announced and not stored', () => {
      const plan = { reply: 'required' } as const;
      const session = restored({ offset: 250, replyUrl: URL_OF_REPLY }, { plan });
      expect(goesOn(session, pinged)[1]).to.equal(DOWNLOAD);
    });

    it('closes when its reply is stored, without a probe that could make the application answer again', () => {
      const plan = { reply: 'required' } as const;
      const snapshot = { offset: 250, replyUrl: URL_OF_REPLY, replyStored: true };
      expect(goesOn(restored(snapshot, { plan }), pinged)[1]).to.equal('close-session');
    });

    it('probes from the offset of the server where there is nothing below to repeat', () => {
      expect(goesOn(restored({ offset: 1 }), pinged)[1]).to.equal('fragment 1-249');
    });

    it('asks for a required reply with the end of the file', () => {
      const of = { plan: { ...BIG.plan, reply: 'required' }, sizer: BIG.sizer } as const;
      const asked = goesOn(restored({ offset: 10 * MIN }, of), pinged, has(10 * MIN));
      expect(asked.slice(1)).to.deep.equal([probe(10 * MIN), END_OF_BIG]);
      const small = restored({ offset: 250 }, { plan: { reply: 'required' } });
      expect(goesOn(small, pinged, has(250)).slice(1)).to.deep.equal([
        'fragment 0-249',
        'fragment 0-250',
      ]);
    });

    it('starts over when the server appends what is sent again to be told the reply', () => {
      const session = restored({ offset: 250 }, { plan: { reply: 'required' } });
      expect(goesOn(session, pinged, has(249))[2]).to.equal('cancel-session');
    });

    it('starts over to be told the reply of a file that is too short for a probe', () => {
      const session = restored({ offset: 1 }, { plan: { reply: 'required', totalBytes: 1 } });
      expect(goesOn(session, pinged)[1]).to.equal('cancel-session');
    });

    /** A new offset is believed when a second probe confirms it. */
    const confirmed = [outOfStep(10 * MIN), outOfStep(10 * MIN)];

    it('asks for an optional reply when a probe shows that the file is complete', () => {
      const of = { plan: { ...BIG.plan, reply: 'optional' }, sizer: BIG.sizer } as const;
      const session = restored({ offset: MIN }, of);
      expect(goesOn(session, pinged, ...confirmed, has(10 * MIN, URL_OF_REPLY))).to.deep.equal([
        'ping',
        probe(MIN),
        probe(MIN),
        END_OF_BIG,
        DOWNLOAD,
      ]);
      expect(goesOn(session, pinged, ...confirmed, outOfStep(10 * MIN))[4]).to.equal(
        'close-session',
      );
    });

    it('asks for an optional reply again when that request fails', () => {
      const of = { plan: { ...BIG.plan, reply: 'optional' }, sizer: BIG.sizer } as const;
      const asked = [pinged, ...confirmed, lost, retryDue, outOfStep(10 * MIN)];
      expect(goesOn(restored({ offset: MIN }, of), ...asked).slice(3)).to.deep.equal([
        END_OF_BIG,
        'wait',
        probe(10 * MIN),
        END_OF_BIG,
      ]);
    });

    it('asks for an optional reply again when its process ended while asking', () => {
      const of = { plan: { ...BIG.plan, reply: 'optional' }, sizer: BIG.sizer } as const;
      const toEnd = [resume, pinged, ...confirmed];
      const asking = play(restored({ offset: MIN }, of), toEnd).session;
      for (const session of [asking, step(asking, lost)[0]]) {
        const again = restored(snapshotOf(session), of);
        expect(goesOn(again, pinged, ...confirmed).slice(1)).to.deep.equal([
          probe(10 * MIN - 1),
          probe(10 * MIN - 1),
          END_OF_BIG,
        ]);
      }
    });

    it('does not ask again for an optional reply that it asked for before', () => {
      const of = { plan: { reply: 'optional' } } as const;
      expect(goesOn(restored({ offset: 250 }, of), pinged, has(250))[2]).to.equal('close-session');
    });

    it('starts over when only the session may be forgotten, and no Close was sent before', () => {
      const session = restored({ offset: 250 });
      expect(goesOn(session, pinged, unknown(400), pinged)).to.deep.equal([
        'ping',
        'fragment 0-249',
        'ping',
        'cancel-session',
      ]);
    });

    it('records no Close of a session that the server never showed to have, or has answered for', () => {
      const unshown: Script = [
        [start, 'create-session'],
        [created(HOST), 'ping @host-id'],
        [pinged, 'close-session @host-id'],
      ];
      const empty = sessionAfter(unshown, { plan: { totalBytes: 0 } });
      expect(snapshotOf(empty).closeUncertain).to.equal(false);
      const answered: Script = [...atClose, [gone, 'failed BITS_ERR_SESSION_NOT_FOUND']];
      const lost = sessionAfter(answered, { plan: { maxRestarts: 0 } });
      expect(snapshotOf(lost).closeUncertain).to.equal(false);
    });

    it('presumes a Close that was on the wire, or whose answer was lost', () => {
      for (const script of [atClose, [...atClose, [lost, 'wait']] as Script]) {
        const session = restored(snapshotOf(sessionAfter(script)));
        expect(goesOn(session, pinged, gone)[2]).to.equal('completed presumed');
      }
    });

    it('does not presume a Close before a fragment that the server took', () => {
      const plan = { reply: 'required' } as const;
      const snapshot = { offset: 250, replyUrl: URL_OF_REPLY, closeUncertain: true };
      const asked = [pinged, replyGone, has(250), has(250, URL_OF_REPLY)];
      expect(
        goesOn(restored(snapshot, { plan }), ...asked, replyStored, gone).slice(4),
      ).to.deep.equal([DOWNLOAD, 'close-session', 'create-session']);
    });

    it('does not presume a Close that was not sent', () => {
      const session = restored(snapshotOf(sessionAfter(atLast)));
      expect(goesOn(session, pinged, has(250), gone)[3]).to.equal('create-session');
    });

    it('cancels first when fragments may not be sent twice', () => {
      const of = { plan: { onUncertainFragment: 'restart' } } as const;
      expect(goesOn(restored({ offset: 100 }, of), pinged)[1]).to.equal('cancel-session');
    });

    it('gives the same snapshot again', () => {
      const before = sessionAfter([...atReply, replyStored], { plan: { reply: 'required' } });
      const snapshot = { ...snapshotOf(before), ...HOST_WITH_FALLBACK, closeUncertain: true };
      expect(snapshot).to.deep.equal({
        sessionId: ID,
        ...HOST_WITH_FALLBACK,
        offset: 250,
        replyUrl: URL_OF_REPLY,
        replyStored: true,
        closeUncertain: true,
      });
      expect(snapshotOf(restoreSession(PLAN, snapshot))).to.deep.equal(snapshot);
    });
  });

  describe('throws at an event that cannot happen', () => {
    const sampleEvents: readonly SessionEvent[] = [
      start,
      pinged,
      lost,
      retryDue,
      gaveUp,
      replyStored,
      replyGone,
      suspend,
      resume,
      cancel,
      sourceChanged,
      fallbackExpired,
    ];
    const reply = { plan: { reply: 'required' } } as const;
    const inFlight = ['acked', 'failed', 'gaveUp', 'suspendRequested', 'cancelRequested'];
    const wishes = ['suspendRequested', 'cancelRequested', 'sourceChanged'];
    const backingOff = ['retryDue', 'gaveUp', 'fallbackExpired', ...wishes];
    const idle = ['resumeRequested', 'cancelRequested', 'sourceChanged'];
    const pinging = sessionAfter([start, created(HOST)]);
    const cancelling = sessionAfter([...begun, cancel]);
    const situations: readonly (readonly [string, Session, readonly string[]])[] = [
      ['init', sessionOf({}), ['start', 'suspendRequested', 'cancelRequested']],
      ['create-session', sessionAfter([start]), [...inFlight, 'sourceChanged']],
      ['ping', pinging, [...inFlight, 'sourceChanged']],
      ['fragment, in a back-off', sessionAfter([...begun, lost]), backingOff],
      [
        'get-reply',
        sessionAfter(atReply, reply),
        ['replyStored', 'replyGone', 'failed', ...wishes],
      ],
      ['get-reply, in a back-off', sessionAfter([...atReply, lost], reply), backingOff],
      ['close-session, in a back-off', sessionAfter([...atClose, lost]), backingOff],
      ['cancel-session', cancelling, inFlight],
      [
        'cancel-session, in a back-off',
        step(cancelling, lost)[0],
        backingOff.filter((type) => type !== 'sourceChanged'),
      ],
      ['suspended', sessionAfter([...begun, suspend]), idle],
      ['error', sessionAfter([...begun, denied]), idle],
      ['completed', sessionAfter([...atClose, closed]), []],
      ['cancelled', step(cancelling, cancelled)[0], []],
      ['failed', sessionAfter([...begun, sourceChanged, cancelled]), []],
    ];
    const ackFor: Partial<Record<SessionState, SessionEvent>> = {
      'create-session': created(),
      'cancel-session': cancelled,
    };

    for (const [where, session, legal] of situations) {
      it(`in ${where}`, () => {
        const events = sampleEvents.map((event) =>
          event.type === 'acked' ? (ackFor[session.state] ?? event) : event,
        );
        const thrown = events.filter((event) => {
          try {
            step(session, event);
            return false;
          } catch (error) {
            expect(error).to.be.instanceOf(Error);
            expect(isBitsError(error)).to.equal(false);
            expect(error)
              .to.have.property('message')
              .that.includes(`${event.type} in ${session.state}`);
            return true;
          }
        });
        const taken = events.filter((event) => !thrown.includes(event));
        expect(taken.map(({ type }) => type)).to.have.members(legal);
      });
    }

    it('and at an ack for another packet', () => {
      const fragment = sessionAfter(begun);
      const onTheWire: readonly (readonly [Session, SessionEvent])[] = [
        [sessionAfter([start]), pinged],
        [pinging, has(0)],
        [fragment, closed],
        [sessionAfter(atClose), cancelled],
        [cancelling, closed],
      ];
      for (const [session, event] of onTheWire) {
        expect(() => step(session, event)).to.throw(Error, /ack to a/);
      }
    });
  });

  describe('before a Close', () => {
    const refuses = (session: Session, message: RegExp) =>
      expect(() => assertMayClose(session)).to.throw(BitsStateError, message);

    it('refuses without a session', () => {
      refuses(sessionOf({}), /not created a session yet/);
    });

    it('refuses while a byte is unacknowledged, and says how many are acknowledged', () => {
      refuses(
        sessionAfter([...begun, has(249)], { sizer: { fixedBytes: 249 } }),
        /acknowledged 249 of 250 bytes/,
      );
    });

    it('refuses while a reply is owed', () => {
      refuses(sessionAfter(atReply, { plan: { reply: 'required' } }), /delete the reply/);
      refuses(sessionAfter(atReply, { plan: { reply: 'optional' } }), /delete the reply/);
    });

    it('accepts a session that the machine itself would close', () => {
      assertMayClose(sessionAfter(atClose));
      assertMayClose(sessionAfter([...atReply, replyStored], { plan: { reply: 'required' } }));
      assertMayClose(sessionAfter(atClose, { plan: { reply: 'optional' } }));
    });
  });

  it('knows from the start that a required reply is owed', () => {
    expect(owesReply(sessionOf({ plan: { reply: 'required' } }))).to.equal(true);
    expect(owesReply(sessionOf({}))).to.equal(false);
  });

  it('refuses to require a reply to an empty file', () => {
    expect(() => sessionOf({ plan: { totalBytes: 0, reply: 'required' } }))
      .to.throw(/An empty file cannot get a reply/)
      .with.property('code', 'BITS_ERR_ARGUMENT');
  });

  it('refuses to send nothing twice over a transport that may do so', () => {
    const plan = { mayResend: true, onUncertainFragment: 'restart' } as const;
    expect(() => sessionOf({ plan }))
      .to.throw(/not possible with this transport/)
      .with.property('code', 'BITS_ERR_ARGUMENT');
  });

  it('warns of a presumed Close and of an empty file', () => {
    const codes = (totalBytes: number, closed: 'acknowledged' | 'presumed') =>
      completionWarnings({ ...PLAN, totalBytes }, { kind: 'completed', closed }).map(
        ({ code }) => code,
      );
    expect(codes(1, 'acknowledged')).to.deep.equal([]);
    expect(codes(1, 'presumed')).to.deep.equal(['close-presumed']);
    expect(codes(0, 'acknowledged')).to.deep.equal(['empty-file']);
  });

  it('has three final states', () => {
    const states = ['init', 'suspended', 'error', 'completed', 'cancelled', 'failed'] as const;
    expect(states.filter(isFinal)).to.deep.equal(['completed', 'cancelled', 'failed']);
  });

  it('never changes a session that it was given', () => {
    const session = sessionAfter(begun);
    const copy = structuredClone(session);
    step(session, has(100));
    step(session, lost);
    step(session, tooLarge);
    expect(session).to.deep.equal(copy);
  });

  it('ends at a refusal whose meaning does not fit the packet', () => {
    const { said } = play(sessionOf({}), [
      start,
      refusal('out-of-step', errorOf(play(sessionOf({}), [start, denied]).commands[1])),
    ]);
    expect(said[1]).to.equal('failed BITS_ERR_SERVER');
  });
});
