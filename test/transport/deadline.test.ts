import { expect } from 'chai';
import { Deadline, type DeadlineOptions } from '../../src/transport/deadline.js';
import { openHandles } from '../support/handles.js';
import { FakeClock } from './fake-clock.js';

describe('a deadline', () => {
  const LIMITS = { stallTimeoutMs: 3000, answerTimeoutMs: 60_000 };

  function make(limits = LIMITS, options: DeadlineOptions = {}) {
    const clock = new FakeClock();
    const messages: string[] = [];
    const onExpired = ({ message }: Error) => void messages.push(message);
    const url = new URL('http://server/secret');
    return {
      clock,
      messages,
      deadline: new Deadline(limits, url, onExpired, { clock, ...options }),
    };
  }

  for (const [phase, limitMs, told] of [
    ['send', 3000, 'No byte of the request moved towards server for 3000 ms (timeouts.stallMs)'],
    [
      'answer',
      60_000,
      'server did not answer within 60000 ms (timeouts.answerMs, or timeouts.replyMs for a reply) after',
    ],
    [
      'answer-body',
      60_000,
      'server sent nothing more of its answer for 60000 ms (timeouts.answerMs)',
    ],
    ['send-and-answer', 63_000, 'within 63000 ms (timeouts.stallMs + timeouts.answerMs)'],
  ] as const) {
    it(`expires after the limit of its phase, and says what was waited for (${phase})`, () => {
      const { clock, messages, deadline } = make();
      deadline.run(phase);
      clock.run(limitMs - 1);
      expect(messages).to.deep.equal([]);
      clock.run(1);
      expect(messages).to.have.lengthOf(1);
      expect(messages[0]).to.include(told).and.not.to.include('secret');
    });
  }

  it('turns to a shorter limit at once, and to a longer one', () => {
    const { clock, messages, deadline } = make({ stallTimeoutMs: 60_000, answerTimeoutMs: 3000 });
    deadline.run('answer');
    deadline.run('send');
    clock.run(59_000);
    deadline.run('answer');
    clock.run(3000);
    expect(messages[0]).to.include('did not answer');
  });

  it('says of another limit why it is not the one that was set', () => {
    for (const [limitMs, told] of [
      [2000, '2000 ms, much longer than before (at most timeouts.stallMs)'],
      [4000, '4000 ms (timeouts.stallMs, and the time for what this machine still had to send)'],
    ] as const) {
      const { clock, messages, deadline } = make(LIMITS, { limitMs: () => limitMs });
      deadline.run('send');
      clock.run(limitMs);
      expect(messages[0]).to.include(told);
    }
  });

  it('keeps nothing alive after its end', () => {
    const before = openHandles();
    const deadline = new Deadline(LIMITS, new URL('http://server/'), () => {});
    deadline.run('send');
    expect(openHandles()).to.equal(before + 1);
    deadline.end();
    expect(openHandles()).to.equal(before);
  });
});
