import { expect } from 'chai';
import { Deadline } from '../../src/transport/deadline.js';
import { openHandles } from '../support/handles.js';

describe('Deadline', () => {
  const LIMITS = { stallTimeoutMs: 30, answerTimeoutMs: 60_000 };

  function started(limits = LIMITS): { deadline: Deadline; message: Promise<string> } {
    let deadline!: Deadline;
    const message = new Promise<string>((resolve) => {
      deadline = new Deadline(limits, new URL('http://server/'), (error) => resolve(error.message));
    });
    return { deadline, message };
  }

  it('expires, and says what was waited for', async () => {
    const { deadline, message } = started();
    deadline.run('send');
    expect(await message).to.include('towards server for 30 ms (stallTimeoutMs)');
    deadline.end();
  });

  it('is moved on by each sign of life, and expires after the last', async () => {
    const { deadline, message } = started({ ...LIMITS, stallTimeoutMs: 500 });
    let isExpired = false;
    const expired = message.then(() => {
      isExpired = true;
    });
    const startMs = performance.now();
    let lastMs = startMs;
    // A busy machine may stop this process for longer than the limit: then it expires in here.
    while (!isExpired && performance.now() < startMs + 700) {
      lastMs = performance.now();
      deadline.run('send');
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expired;
    expect(performance.now() - lastMs).to.be.at.least(500);
  });

  it('turns to a shorter limit at once', async () => {
    const { deadline, message } = started({ stallTimeoutMs: 60_000, answerTimeoutMs: 30 });
    deadline.run('send');
    deadline.run('answer');
    expect(await message).to.include('did not answer within 30 ms');
  });

  it('turns to a longer one', async () => {
    const { deadline, message } = started({ stallTimeoutMs: 10, answerTimeoutMs: 60 });
    const startMs = performance.now();
    deadline.run('send');
    deadline.run('answer');
    expect(await message).to.include('did not answer within 60 ms');
    expect(performance.now() - startMs).to.be.at.least(59);
  });

  it('does not expire while it is paused', async () => {
    const { deadline, message } = started({ stallTimeoutMs: 10, answerTimeoutMs: 60 });
    deadline.run('send');
    deadline.pause();
    const other = started({ stallTimeoutMs: 40, answerTimeoutMs: 40 });
    other.deadline.run('send');
    const first = await Promise.race([message, other.message]);
    expect(first).to.include('40 ms');
    deadline.end();
  });

  it('keeps nothing alive after its end', () => {
    const before = openHandles();
    const { deadline } = started();
    deadline.run('send');
    expect(openHandles()).to.equal(before + 1);
    deadline.end();
    expect(openHandles()).to.equal(before);
  });

  it('does not expire at once for a limit that no timer can hold', async () => {
    const { deadline, message } = started({ stallTimeoutMs: 2 ** 40, answerTimeoutMs: 2 ** 40 });
    deadline.run('send-and-answer');
    const other = started({ stallTimeoutMs: 20, answerTimeoutMs: 20 });
    other.deadline.run('send');
    expect(await Promise.race([message, other.message])).to.include('20 ms');
    deadline.end();
  });
});
