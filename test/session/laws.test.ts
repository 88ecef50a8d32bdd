import { expect } from 'chai';
import fc from 'fast-check';
import type { RequestPacket } from '../../src/protocol/packets.js';
import { step } from '../../src/session/machine.js';
import {
  type Command,
  createSession,
  isFinal,
  restoreSession,
  type Session,
  type SessionEvent,
  type SessionPlan,
  type SessionSnapshot,
  type SizerOptions,
  snapshotOf,
} from '../../src/session/session.js';
import { runs, SEED } from '../support/prove-mode.js';
import { Adversary, choices, plans, sizers } from './adversary.js';
import { ModelServer, type Overlap } from './model-server.js';
import {
  busy,
  gaveUp,
  lost,
  MIN,
  misfit,
  ofApplication,
  replyStored,
  resume,
  retryDue,
  said,
  stale,
  start,
  status,
  suspend,
  unsent,
} from './script.js';
import { Witness } from './witness.js';

/** As a record on disk would keep it. */
function written(session: Session): SessionSnapshot {
  return {
    ...snapshotOf(createSession(session.plan)),
    ...JSON.parse(JSON.stringify(snapshotOf(session))),
  };
}

/** So that a run of many steps is one without an end, not one of many fragments. */
function inFewPieces(plan: SessionPlan, sizer: SizerOptions): SizerOptions {
  const least = Math.ceil(plan.totalBytes / 40);
  return { ...sizer, fixedBytes: sizer.fixedBytes && Math.max(sizer.fixedBytes, least) };
}

/** Answers of a server, or of its application, that fails before or after it has done what it was asked. */
const FAILURES: Readonly<Record<string, SessionEvent>> = {
  'fails-before': busy,
  'fails-after': status(500, 'transient'),
  'application-fails': ofApplication(500, 'transient'),
  'application-refuses': ofApplication(403, 'fatal'),
};

describe('the laws of a session', () => {
  it('hold whatever the server and the caller do, in any order', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        plans,
        sizers,
        fc.array(fc.record({ choice: choices, restore: fc.nat(99) }), {
          maxLength: 120,
          size: 'max',
        }),
        (plan, sizer, story) => {
          // The witness names a law that is broken, with all that led to it.
          const adversary = new Adversary();
          const witness = new Witness(plan, sizer.capBytes);
          let session = createSession(plan, sizer);
          for (const { choice, restore } of story) {
            if (isFinal(session.state)) break;
            if (restore >= 96 && session.state !== 'init') {
              const record = written(session);
              session = restoreSession(plan, record, sizer);
              witness.restored(record);
            }
            const event = adversary.next(session, choice);
            const [next, command] = step(session, event);
            witness.observe(event, next, command);
            session = next;
          }
          for (const what of witness.seen) seen.add(what);
          if (isFinal(session.state)) {
            for (const event of [resume, suspend, retryDue, start, gaveUp]) {
              expect(() => step(session, event)).to.throw(/session machine/);
            }
          }
        },
      ),
      { seed: SEED, numRuns: runs('BITS_PROVE_LAWS', 600, 2500) },
    );
    // Laws that nothing tested would hold too.
    expect(seen).to.include.members([
      'create-session',
      'ping',
      'fragment',
      'download',
      'close-session',
      'cancel-session',
      'wait',
      'pause',
      'completed acknowledged',
      'completed presumed',
      'cancelled',
      'cancelled freed',
      'failed',
    ]);
  });

  it('end every upload to a server that always answers in the same way', () => {
    fc.assert(
      fc.property(
        plans,
        sizers,
        fc.array(choices, { minLength: 1, maxLength: 6 }),
        (plan, sizer, cycle) => {
          const adversary = new Adversary();
          let [session, command] = step(createSession(plan, inFewPieces(plan, sizer)), start);
          let attempts = 0;
          let turn = 0;
          for (let steps = 0; command.type !== 'finish'; steps += 1) {
            expect(steps, 'steps without an end').to.be.lessThan(4000);
            const { progress } = session;
            let event: SessionEvent;
            if (command.type === 'wait') {
              // As the job does: so many attempts, counted anew at progress.
              attempts += 1;
              event = attempts > 4 ? gaveUp : retryDue;
            } else {
              event = adversary.answer(session, cycle[turn++ % cycle.length]!);
            }
            [session, command] = step(session, event);
            if (session.progress > progress) attempts = 0;
          }
        },
      ),
      { seed: SEED, numRuns: runs('BITS_PROVE_LAWS', 500, 2000) },
    );
  });

  it('bring every byte to a server that fails occasionally, and its reply back', () => {
    const faults = fc.record({
      kind: fc.constantFrom(
        'none',
        'none',
        'none',
        'request-lost',
        'not-sent',
        'answer-lost',
        'part-lost',
        'stale-before',
        'stale-after',
        'shifted',
        'session-lost',
        'offset-back',
        'takes-part',
        'killed-before',
        'killed-after',
        'suspended-before',
        'suspended-after',
        'fails-before',
        'fails-after',
        'application-fails',
        'application-refuses',
      ),
      number: fc.nat(99),
    });
    const servers = fc.record({
      overlap: fc.constantFrom<Overlap>(
        'refuses',
        'keeps-what-it-lacks',
        'appends-blindly',
        'echoes',
      ),
      restarts: fc.boolean(),
      limitBytes: fc.integer({ min: MIN, max: 20 * MIN }),
      replies: fc.boolean(),
      saysNothing: fc.boolean(),
      hostId: fc.option(fc.constant('web3'), { nil: undefined }),
    });
    const sizes = fc.oneof(fc.nat(20), fc.integer({ min: 1, max: 12 * MIN }));
    const delivered = new Set<string>();
    fc.assert(
      fc.property(
        sizes,
        servers,
        sizers,
        fc.boolean(),
        fc.array(faults, { maxLength: 25, size: 'max' }),
        (totalBytes, { hostId, restarts, ...options }, sizer, optional, schedule) => {
          const source = Uint8Array.from(
            { length: totalBytes },
            (_, at) => (at * 31 + (at >> 8)) % 251,
          );
          const isBlind = ['appends-blindly', 'echoes'].includes(options.overlap);
          const onUncertainFragment = isBlind && restarts ? 'restart' : 'resend';
          const server = new ModelServer(source, {
            ...options,
            // Who starts over after each interruption guesses nothing about sessions.
            saysNothing: options.saysNothing && onUncertainFragment === 'resend',
            ...(hostId && { hostId }),
          });
          const plan: SessionPlan = {
            totalBytes,
            contentName: 'dump.bin',
            reply: optional ? 'optional' : options.replies && totalBytes > 0 ? 'required' : 'none',
            onUncertainFragment,
            maxRestarts: schedule.length,
            maxResyncs: schedule.length,
            maxCancelAttempts: 2,
          };
          // A reply that nobody wants is no loss.
          if (plan.reply === 'none') server.options.replies = false;
          const outcome = upload(plan, inFewPieces(plan, sizer), server, schedule);
          expect(outcome).to.match(/^completed/);
          expect(server.file).to.deep.equal(source);
          delivered.add(outcome);
        },
      ),
      { seed: SEED, numRuns: runs('BITS_PROVE_LAWS', 250, 1000) },
    );
    expect([...delivered]).to.have.members(['completed acknowledged', 'completed presumed']);

    function upload(
      plan: SessionPlan,
      sizer: SizerOptions,
      server: ModelServer,
      schedule: readonly { kind: string; number: number }[],
    ): string {
      const witness = new Witness(plan, sizer.capBytes);
      const log: string[] = [];
      let records: SessionSnapshot[] = [];
      const toCome = [...schedule];
      let session = createSession(plan, sizer);
      let command = { type: 'pause' } as Command;
      let before: SessionEvent = start;
      const take = (event: SessionEvent) => {
        const { state } = session;
        [session, command] = step(session, event);
        // A record is written at every change of state and before a Close, and sometimes in between.
        const isClose = command.type === 'send' && command.packet.type === 'close-session';
        if (session.state !== state || isClose) records = [];
        log.push(`${event.type} → ${said(command)}`);
        witness.observe(event, session, command);
        records.push(written(session));
      };
      take(start);
      for (let steps = 0; mayResume(command); steps += 1) {
        expect(steps, log.slice(-40).join('\n')).to.be.lessThan(3000);
        if (command.type === 'pause' || command.type === 'finish') take(resume);
        else if (command.type === 'wait') take(retryDue);
        else if (command.type === 'download') {
          server.fetchReply(command.replyUrl);
          take(replyStored);
        } else {
          const { packet, newConnection }: Extract<Command, { type: 'send' }> = command;
          const { kind, number } = toCome.shift() ?? { kind: 'none', number: 0 };
          if (packet.type === 'fragment' && kind === 'session-lost') server.forget();
          if (packet.type === 'fragment' && kind === 'offset-back' && !blindly(server)) {
            server.moveBack(number / 100);
          }
          const reaches = !['request-lost', 'not-sent'].includes(kind) && !kind.endsWith('-before');
          const failure = FAILURES[kind];
          const takesPart = kind === 'part-lost' || kind === 'takes-part';
          const takes = takesPart ? Math.max(1, number * 100) : undefined;
          const isStale = kind.startsWith('stale');
          const silence = kind === 'not-sent' ? unsent : isStale ? stale : lost;
          const answer = reaches ? server.answer(packet, takes) : silence;
          if (kind.startsWith('killed')) {
            const record = records[number % records.length] ?? written(session);
            session = restoreSession(plan, record, sizer);
            log.push('killed');
            witness.restoredFromOlder(record);
            take(resume);
          } else if (kind.startsWith('suspended')) take(suspend);
          else if (failure !== undefined) take(failure);
          else if (kind === 'answer-lost' || kind === 'part-lost') take(lost);
          else if (kind === 'stale-after') take(stale);
          else if (kind === 'shifted' && mayShift(server, newConnection)) {
            take(shifted(packet, before));
          } else take(answer);
          before = answer;
        }
      }
      const last = said(command);
      if (!last.startsWith('completed')) throw new Error(`${last}:\n  ${log.join('\n  ')}`);
      return last;
    }

    /** Whether there is more to come, be it after a resume. */
    function mayResume(command: Command): boolean {
      return command.type !== 'finish' || command.outcome.kind === 'failed';
    }

    /** Whose own offsets cannot be told from shifted ones is left out: no server is known to be both. */
    function mayShift(server: ModelServer, newConnection: boolean): boolean {
      return !newConnection && server.options.overlap !== 'appends-blindly';
    }

    /** The answer to the packet before, which came twice. */
    function shifted(packet: RequestPacket, before: SessionEvent): SessionEvent {
      const isFragment = before.type === 'acked' && before.ack.type === 'fragment';
      return isFragment && packet.type === 'fragment' ? before : misfit;
    }

    function blindly({ options }: ModelServer): boolean {
      return options.overlap === 'appends-blindly' || options.overlap === 'echoes';
    }
  });
});
