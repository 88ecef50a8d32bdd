import { expect } from 'chai';
import {
  IdleTransports,
  LINGER_MS,
  MAX_WAITING,
  type ReusableTransport,
} from '../../src/job/idle-transports.js';

interface FakeTransport extends ReusableTransport {
  isIdle: boolean;
  closed: number;
}

function fakeTransport(): FakeTransport {
  return {
    limitations: [],
    isIdle: true,
    closed: 0,
    send: () => Promise.reject(new Error('nothing is sent here')),
    get hasIdleConnection() {
      return this.isIdle;
    },
    async close() {
      this.closed += 1;
    },
  };
}

/** Transports between jobs, in a time of their own. */
function world() {
  const clock = { nowMs: 1e12 };
  const timers = new Set<{ readonly work: () => void; readonly dueMs: number }>();
  const opened: FakeTransport[] = [];
  const idle = new IdleTransports(
    (work, delayMs) => {
      const timer = { work, dueMs: clock.nowMs + delayMs };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    () => clock.nowMs,
  );
  const borrow = (key = 'a') => {
    let wasUsed = true;
    const loan = idle.borrow(key, () => {
      const transport = fakeTransport();
      opened.push(transport);
      wasUsed = false;
      return transport;
    });
    return { ...loan, wasUsed };
  };
  /** Lets time pass in which the machine is awake. */
  const wait = (durationMs: number) => {
    clock.nowMs += durationMs;
    for (const timer of timers) {
      if (timer.dueMs <= clock.nowMs && timers.delete(timer)) timer.work();
    }
  };
  return { borrow, opened, clock, timers, wait };
}

describe('transports between jobs', () => {
  it('go to the next job, and no other has them meanwhile', async () => {
    const { borrow, opened } = world();
    const first = borrow();
    const second = borrow();
    expect(second.transport).not.to.equal(first.transport);
    await first.giveBack({ reusable: true });
    const third = borrow();
    expect(third.transport).to.equal(first.transport);
    expect(borrow().transport).not.to.equal(first.transport);
    expect([first, second, third].map(({ wasUsed }) => wasUsed)).to.deep.equal([
      false,
      false,
      true,
    ]);
    expect(opened.map(({ closed }) => closed)).to.deep.equal([0, 0, 0]);
  });

  it('go to no job that must not have their connections', async () => {
    const { borrow } = world();
    const first = borrow('a');
    await first.giveBack({ reusable: true });
    expect(borrow('b').transport).not.to.equal(first.transport);
  });

  it('are closed when no job wants them in time', async () => {
    const { borrow, opened, wait } = world();
    await borrow().giveBack({ reusable: true });
    wait(LINGER_MS - 1);
    expect(opened[0]?.closed).to.equal(0);
    wait(1);
    expect(opened[0]?.closed).to.equal(1);
    expect(borrow().transport).to.equal(opened[1]);
  });

  it('are not closed under the job that has them', async () => {
    const { borrow, opened, wait } = world();
    await borrow().giveBack({ reusable: true });
    const { giveBack } = borrow();
    wait(2 * LINGER_MS);
    expect(opened[0]?.closed).to.equal(0);
    await giveBack({ reusable: true });
    wait(LINGER_MS);
    expect(opened[0]?.closed).to.equal(1);
  });

  it('are closed each in its own time, by one timer', async () => {
    const { borrow, opened, timers, wait } = world();
    const loans = [borrow(), borrow(), borrow()];
    for (const { giveBack } of loans) {
      await giveBack({ reusable: true });
      expect(timers.size).to.equal(1);
      wait(LINGER_MS / 4);
    }
    const closed = () => opened.map((transport) => transport.closed);
    wait(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 0, 0]);
    wait(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 1, 0]);
    wait(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 1, 1]);
    expect(timers.size).to.equal(0);
  });

  it('are taken newest first, so that no more of them stay than are needed', async () => {
    const { borrow, opened, wait } = world();
    const loans = [borrow(), borrow(), borrow()];
    for (const { giveBack } of loans) {
      await giveBack({ reusable: true });
      wait(1);
    }
    for (let i = 0; i < LINGER_MS; i += 100) {
      const { transport, giveBack } = borrow();
      expect(transport).to.equal(opened[2]);
      await giveBack({ reusable: true });
      wait(100);
    }
    expect(opened.map(({ closed }) => closed)).to.deep.equal([1, 1, 0]);
  });

  it('are closed at once when they have no connection that is free', async () => {
    const { borrow, opened } = world();
    const { giveBack } = borrow();
    opened[0]!.isIdle = false;
    await giveBack({ reusable: true });
    expect(opened[0]?.closed).to.equal(1);
    expect(borrow().transport).to.equal(opened[1]);
  });

  it('are given back once, however often a job says so', async () => {
    const { borrow } = world();
    const { giveBack } = borrow();
    await giveBack({ reusable: true });
    await giveBack({ reusable: true });
    expect(borrow().transport).not.to.equal(borrow().transport);
  });

  for (const [what, durationMs] of [
    ['slept', 3_600_000],
    ['had its clock set back', -3_600_000],
  ] as const) {
    it(`are not used when the machine ${what}, for timers do not show it`, async () => {
      const { borrow, opened, clock } = world();
      await borrow().giveBack({ reusable: true });
      clock.nowMs += durationMs;
      expect(borrow().transport).to.equal(opened[1]);
      expect(opened[0]?.closed).to.equal(1);
    });
  }

  it('may fail to close, which ends no process', async () => {
    const unheard: unknown[] = [];
    const listen = (reason: unknown) => void unheard.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const { borrow, opened, wait } = world();
      await borrow().giveBack({ reusable: true });
      opened[0]!.close = () => Promise.reject(new Error('nobody hears this'));
      wait(LINGER_MS);
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off('unhandledRejection', listen);
    }
    expect(unheard).to.deep.equal([]);
  });

  it('are no more than so many: the oldest of any key is closed for another', async () => {
    const { borrow, opened } = world();
    const loans = Array.from({ length: MAX_WAITING + 1 }, (_, i) => borrow(`host ${i}`));
    for (const loan of loans) await loan.giveBack({ reusable: true });
    expect(opened.map(({ closed }) => closed)).to.deep.equal([1, ...Array(MAX_WAITING).fill(0)]);
    expect(borrow('host 0').wasUsed).to.equal(false);
    expect(borrow('host 1').wasUsed).to.equal(true);
  });

  it('are closed when the job that had them was not completed', async () => {
    const { borrow, opened } = world();
    await borrow().giveBack({ reusable: false });
    expect(opened[0]?.closed).to.equal(1);
    expect(borrow().wasUsed).to.equal(false);
  });
});
