import { expect } from 'chai';
import {
  IdleTransports,
  LINGER_MS,
  MAX_WAITING,
  type ReusableTransport,
} from '../../src/job/idle-transports.js';
import { FakeClock } from '../support/fake-clock.js';

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
  const clock = new FakeClock(1e12);
  const opened: FakeTransport[] = [];
  const idle = new IdleTransports(clock);
  /** A job begins, and takes what is there. */
  const begin = (key = 'a') => {
    const taken = idle.take(key);
    const transport = (taken as FakeTransport | undefined) ?? fakeTransport();
    if (taken === undefined) opened.push(transport);
    const complete = () => idle.keep(key, transport);
    return { transport, complete, wasUsed: taken !== undefined };
  };
  return { begin, opened, clock };
}

describe('transports between jobs', () => {
  it('go to the next job, and no other has them meanwhile', async () => {
    const { begin, opened } = world();
    const first = begin();
    const second = begin();
    expect(second.transport).not.to.equal(first.transport);
    await first.complete();
    const third = begin();
    expect(third.transport).to.equal(first.transport);
    expect(begin().transport).not.to.equal(first.transport);
    expect([first, second, third].map(({ wasUsed }) => wasUsed)).to.deep.equal([
      false,
      false,
      true,
    ]);
    expect(opened.map(({ closed }) => closed)).to.deep.equal([0, 0, 0]);
  });

  it('go to no job that must not have their connections', async () => {
    const { begin } = world();
    const first = begin('a');
    await first.complete();
    expect(begin('b').transport).not.to.equal(first.transport);
  });

  it('are closed when no job wants them in time', async () => {
    const { begin, opened, clock } = world();
    await begin().complete();
    clock.pass(LINGER_MS - 1);
    expect(opened[0]?.closed).to.equal(0);
    clock.pass(1);
    expect(opened[0]?.closed).to.equal(1);
    expect(begin().transport).to.equal(opened[1]);
  });

  it('are not closed under the job that has them', async () => {
    const { begin, opened, clock } = world();
    await begin().complete();
    const { complete } = begin();
    clock.pass(2 * LINGER_MS);
    expect(opened[0]?.closed).to.equal(0);
    await complete();
    clock.pass(LINGER_MS);
    expect(opened[0]?.closed).to.equal(1);
  });

  it('are closed each in its own time', async () => {
    const { begin, opened, clock } = world();
    const jobs = [begin(), begin(), begin()];
    for (const { complete } of jobs) {
      await complete();
      clock.pass(LINGER_MS / 4);
    }
    const closed = () => opened.map((transport) => transport.closed);
    clock.pass(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 0, 0]);
    clock.pass(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 1, 0]);
    clock.pass(LINGER_MS / 4);
    expect(closed()).to.deep.equal([1, 1, 1]);
    expect(clock.timers.size).to.equal(0);
  });

  it('are taken newest first, so that no more of them stay than are needed', async () => {
    const { begin, opened, clock } = world();
    const jobs = [begin(), begin(), begin()];
    for (const { complete } of jobs) {
      await complete();
      clock.pass(1);
    }
    for (let i = 0; i < LINGER_MS; i += 100) {
      const { transport, complete } = begin();
      expect(transport).to.equal(opened[2]);
      await complete();
      clock.pass(100);
    }
    expect(opened.map(({ closed }) => closed)).to.deep.equal([1, 1, 0]);
  });

  it('are closed at once when they have no connection that is free', async () => {
    const { begin, opened } = world();
    const { complete } = begin();
    opened[0]!.isIdle = false;
    await complete();
    expect(opened[0]?.closed).to.equal(1);
    expect(begin().transport).to.equal(opened[1]);
  });

  for (const [what, durationMs] of [
    ['slept', 3_600_000],
    ['had its clock set back', -3_600_000],
  ] as const) {
    it(`are not used when the machine ${what}, for timers do not show it`, async () => {
      const { begin, opened, clock } = world();
      await begin().complete();
      clock.nowMs += durationMs;
      expect(begin().transport).to.equal(opened[1]);
      expect(opened[0]?.closed).to.equal(1);
    });
  }

  it('may fail to close, which ends no process', async () => {
    const unheard: unknown[] = [];
    const listen = (reason: unknown) => void unheard.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const { begin, opened, clock } = world();
      await begin().complete();
      opened[0]!.close = () => Promise.reject(new Error('nobody hears this'));
      clock.pass(LINGER_MS);
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off('unhandledRejection', listen);
    }
    expect(unheard).to.deep.equal([]);
  });

  it('are no more than so many: the oldest of any key is closed for another', async () => {
    const { begin, opened } = world();
    const jobs = Array.from({ length: MAX_WAITING + 1 }, (_, i) => begin(`host ${i}`));
    for (const job of jobs) await job.complete();
    expect(opened.map(({ closed }) => closed)).to.deep.equal([1, ...Array(MAX_WAITING).fill(0)]);
    expect(begin('host 0').wasUsed).to.equal(false);
    expect(begin('host 1').wasUsed).to.equal(true);
  });
});
