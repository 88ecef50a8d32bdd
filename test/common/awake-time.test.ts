import { expect } from 'chai';
import { AwakeTime } from '../../src/common/awake-time.js';
import { later } from '../../src/common/clock.js';
import { FakeClock } from '../support/fake-clock.js';

describe('what is to be done later', () => {
  it('is done though a test suite has put a setTimeout of its own in place since', async () => {
    const real = globalThis.setTimeout;
    globalThis.setTimeout = (() => expect.fail('it was asked')) as unknown as typeof setTimeout;
    try {
      await new Promise<void>((resolve) => later(resolve, 1));
    } finally {
      globalThis.setTimeout = real;
    }
  });

  it('is not done once it is dismissed', async () => {
    let done = false;
    const dismiss = later(() => {
      done = true;
    }, 1);
    dismiss();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).to.equal(false);
  });
});

describe('the time that a process was awake', () => {
  function world() {
    const clock = new FakeClock();
    return { clock, time: new AwakeTime(clock) };
  }

  it('is the time that passed while its timers fired', () => {
    const { clock, time } = world();
    clock.pass(60_500);
    expect(time.elapsedMs).to.equal(60_500);
    expect(time.gaps).to.equal(0);
  });

  it('grows by one step in a night of sleep, whatever the clock says', () => {
    const { clock, time } = world();
    clock.nowMs += 8 * 3_600_000;
    clock.pass(0);
    expect(time.elapsedMs).to.equal(1000);
    expect(time.gaps).to.equal(1);
  });

  it('does not shrink when a clock goes back', () => {
    const { clock, time } = world();
    clock.pass(900);
    expect(time.elapsedMs).to.equal(900);
    clock.nowMs -= 5000;
    expect(time.elapsedMs).to.equal(900);
  });
});
