import { expect } from 'chai';
import { AbortSwitch } from '../../src/common/abort-switch.js';
import type { Clock } from '../../src/job/clock.js';
import { Driver, type DriverParts, type Rest } from '../../src/job/driver.js';
import { DEFAULTS } from '../../src/job/options.js';
import type { RetryDecision } from '../../src/job/retry.js';
import { createSession } from '../../src/session/session.js';
import { busy, created, gone, has, lost, PLAN, pinged, said } from '../session/script.js';

const MINUTE_MS = 60_000;

/** Time that passes when it is waited for, and when a test says so. */
class FakeClock implements Clock {
  nowMs = 0;
  readonly waits: number[] = [];
  now = (): number => this.nowMs;
  sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.waits.push(ms);
    this.nowMs += ms;
  };
}

type Event = Awaited<ReturnType<DriverParts['perform']>>;

/** A driver in a world where `answer` tells what comes of each command, given in words. */
class World {
  readonly clock = new FakeClock();
  readonly commands: string[] = [];
  readonly retries: RetryDecision[] = [];
  readonly driver: Driver;

  constructor(
    answer: (command: string, world: World) => Event,
    changes: Partial<DriverParts> & { totalBytes?: number; fragmentBytes?: number } = {},
  ) {
    const { totalBytes = 250, fragmentBytes = 100, ...parts } = changes;
    const session = createSession({ ...PLAN, totalBytes });
    // Smaller than any server would see, so that offsets can be read.
    const sizer = { ...session.sizer, fixed: true, bytes: fragmentBytes };
    this.driver = new Driver(
      { ...session, sizer },
      {
        perform: async (command) => {
          const words = said(command);
          this.commands.push(words);
          return answer(words, this);
        },
        policy: { ...DEFAULTS, shouldRetry: () => true },
        clock: this.clock,
        random: () => 1,
        onStep: () => {},
        onRetry: (decision) => this.retries.push(decision),
        interruption: new AbortSwitch(),
        ...parts,
      },
    );
  }

  async ends(): Promise<string> {
    const rest: Rest = await this.driver.drive({ type: 'start' });
    return said(rest);
  }
}

const closed: Event = { type: 'acked', ack: { type: 'close-session' }, elapsedMs: 1 };

/** The end of the range in `fragment 0-100`. */
const endOf = (command: string): number => Number(/-(\d+)/.exec(command.slice(8))?.[1]);

describe('the time that a job takes', () => {
  it('is ten minutes without a new byte, whatever else is answered', async () => {
    const world = new World((command) => (command === 'create-session' ? created() : busy));
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.equal(DEFAULTS.noProgressTimeoutMs);
    expect(world.clock.waits.slice(0, 8)).to.deep.equal(
      [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1000),
    );
  });

  it('counts requests that take long, too', async () => {
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created();
      clock.nowMs += 5 * MINUTE_MS;
      return lost;
    });
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.be.within(15 * MINUTE_MS, 16 * MINUTE_MS);
  });

  it('counts from the first failure, which is followed by a second try however late it came', async () => {
    let failures = 0;
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      if (failures++ > 0) return has(endOf(command));
      clock.nowMs += 60 * MINUTE_MS;
      return lost;
    });
    expect(await world.ends()).to.equal('completed acknowledged');
  });

  it('starts anew with each sign of progress inside a command', async () => {
    let tries = 0;
    const world = new World((command, { clock, driver }) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      clock.nowMs += 9 * MINUTE_MS;
      if (tries++ >= 10) return has(endOf(command));
      driver.progressed();
      return busy;
    });
    expect(await world.ends()).to.equal('completed acknowledged');
  });

  it('has no end as long as new bytes are acknowledged', async () => {
    let failed = false;
    const world = new World(
      (command, { clock }) => {
        if (command === 'create-session') return created();
        if (command === 'close-session') return closed;
        failed = !failed;
        if (failed) clock.nowMs += 9 * MINUTE_MS;
        return failed ? busy : has(endOf(command));
      },
      { totalBytes: 10_000 },
    );
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.clock.nowMs).to.be.above(900 * MINUTE_MS);
  });

  it('is not prolonged by acks that bring no new byte', async () => {
    let sessions = 0;
    const world = new World((command, { clock }) => {
      if (command === 'create-session') {
        sessions++;
        return created();
      }
      clock.nowMs += 4 * MINUTE_MS;
      return sessions < 3 ? gone : busy;
    });
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    // Failing since the first lost session, at 4 minutes.
    expect(world.clock.nowMs).to.be.within(14 * MINUTE_MS, 17 * MINUTE_MS);
  });

  it('is what Retry-After asks for, up to five minutes', async () => {
    const asks = [90_000, 31_536_000_000];
    const world = new World((command) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      const retryAfterMs = asks.shift();
      if (retryAfterMs === undefined || busy.type !== 'failed') return has(endOf(command));
      return { ...busy, refusal: { ...busy.refusal, retryAfterMs } };
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.clock.waits).to.deep.equal([90_000, 300_000]);
  });

  it('backs off anew after progress', async () => {
    const fails = [true, true, true, false, true, false, false];
    const world = new World((command) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      return fails.shift() ? busy : has(endOf(command));
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.retries.map(({ attempt, delayMs }) => [attempt, delayMs])).to.deep.equal([
      [1, 1000],
      [2, 2000],
      [3, 4000],
      [1, 1000],
    ]);
  });

  it('on a host-id that fails ends with its fallback time-out, to the millisecond', async () => {
    const hostId = { hostId: 'web3.corp.example', hostIdFallbackTimeoutMs: 90_500 };
    const world = new World((command) => {
      if (command === 'create-session') return created(hostId);
      if (command.endsWith('@host-id')) return busy;
      if (command === 'ping') return pinged;
      return command === 'close-session' ? closed : has(endOf(command));
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.clock.nowMs).to.equal(90_500);
    const firstAtOrigin = world.commands.indexOf('ping');
    expect(world.commands.slice(firstAtOrigin)).to.deep.equal([
      'ping',
      'fragment 0-100',
      'fragment 100-200',
      'fragment 200-250',
      'close-session',
    ]);
  });

  it('until the fallback starts with an error and anew with progress', async () => {
    const hostId = { hostId: 'web3.corp.example', hostIdFallbackTimeoutMs: 100_000 };
    let fails = 0;
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created(hostId);
      if (command.startsWith('ping')) return pinged;
      if (command.startsWith('close')) return closed;
      // Twice nearly long enough, and hours of success between.
      if (fails++ % 2 === 0) return busy;
      clock.nowMs += 99_000 - 1000;
      return has(endOf(command));
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(
      world.commands.every(
        (command) =>
          !/^(ping|fragment.*|close-session)$/.test(command) || command.endsWith('@host-id'),
      ),
    ).to.equal(true);
  });

  it('on a host-id without such a time-out is that of any other server', async () => {
    const world = new World((command) =>
      command === 'create-session' ? created({ hostId: 'web3.corp.example' }) : busy,
    );
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.equal(DEFAULTS.noProgressTimeoutMs);
    expect(world.commands).to.not.include('ping');
  });

  it('does not count while the job is suspended', async () => {
    let down = true;
    const world = new World((command, { clock, driver }) => {
      if (command === 'create-session') return created();
      if (command === 'ping') return pinged;
      if (command === 'close-session') return closed;
      if (!down) return has(endOf(command));
      clock.nowMs += 9 * MINUTE_MS;
      driver.interrupt('suspendRequested');
      return busy;
    });
    expect(await world.ends()).to.equal('pause');
    world.clock.nowMs += 24 * 60 * MINUTE_MS;
    down = false;
    const rest = await world.driver.drive({ type: 'resumeRequested' });
    expect(said(rest)).to.equal('completed acknowledged');
  });

  for (const [wish, ends] of [
    ['suspendRequested', 'pause'],
    ['cancelRequested', 'cancelled freed'],
  ] as const) {
    it(`is none between ${wish} and the end of a back-off`, async () => {
      const clock: Clock = {
        now: () => 0,
        sleep: (_ms, signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason));
          }),
      };
      const world = new World(
        (command) => {
          if (command === 'create-session') return created();
          if (command !== 'cancel-session') return busy;
          return { type: 'acked', ack: { type: 'cancel-session' }, elapsedMs: 1 };
        },
        { clock, onRetry: () => void Promise.resolve().then(() => world.driver.interrupt(wish)) },
      );
      expect(await world.ends()).to.equal(ends);
    });
  }
});
