import { expect } from 'chai';
import { BitsAbortError, BitsError } from '../../src/errors.js';
import {
  type CommandRunner,
  Driver,
  type DriverClock,
  type DriverOptions,
  type RestCommand,
} from '../../src/job/driver.js';
import type { RetryDecision } from '../../src/job/options.js';
import { DEFAULTS } from '../../src/job/options.js';
import {
  createSession,
  type ReplyExpectation,
  type SessionEvent,
} from '../../src/session/session.js';
import {
  busy,
  created,
  gone,
  has,
  lost,
  outOfStep,
  PLAN,
  pinged,
  replyStored,
  said,
  URL_OF_REPLY,
} from '../session/script.js';
import { FakeClock } from '../support/fake-clock.js';

const MINUTE_MS = 60_000;

/** Time that passes when it is waited for, and when a test says so. */
class WaitingClock extends FakeClock implements DriverClock {
  readonly waits: number[] = [];

  readonly sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.waits.push(ms);
    this.pass(ms);
  };
}

interface WorldOptions extends Partial<DriverOptions> {
  readonly totalBytes?: number;
  readonly fragmentBytes?: number;
  readonly reply?: ReplyExpectation;
  readonly onRetry?: (decision: RetryDecision) => void;
}

/** A driver in a world where `answer` tells what comes of each command, given in words. */
class World implements CommandRunner {
  readonly clock = new WaitingClock();
  readonly commands: string[] = [];
  readonly retries: RetryDecision[] = [];
  readonly interruption = new AbortController();
  readonly driver: Driver;
  readonly #answer: (command: string, world: World) => SessionEvent;
  readonly #onRetry: (decision: RetryDecision) => void;

  constructor(answer: (command: string, world: World) => SessionEvent, changes: WorldOptions = {}) {
    const {
      totalBytes = 250,
      fragmentBytes = 100,
      reply = 'none',
      onRetry = () => {},
      ...options
    } = changes;
    this.#answer = answer;
    this.#onRetry = onRetry;
    const session = createSession({ ...PLAN, totalBytes, reply });
    // Smaller than any server would see, so that offsets can be read.
    const sizer = { ...session.sizer, fixed: true, bytes: fragmentBytes };
    this.driver = new Driver({ ...session, sizer }, this, {
      retry: { ...DEFAULTS.retry, shouldRetry: () => true },
      noProgressMs: DEFAULTS.timeouts.noProgressMs,
      replyMs: DEFAULTS.timeouts.replyMs,
      signal: this.interruption.signal,
      clock: this.clock,
      random: () => 1,
      ...options,
    });
  }

  async perform(command: Parameters<CommandRunner['perform']>[0]): Promise<SessionEvent> {
    const words = said(command);
    this.commands.push(words);
    return this.#answer(words, this);
  }

  stepped(): void {}

  retrying(decision: RetryDecision): void {
    this.retries.push(decision);
    this.#onRetry(decision);
  }

  interrupt(): void {
    this.interruption.abort(new BitsAbortError('stopped'));
  }

  async ends(): Promise<string> {
    const rest: RestCommand = await this.driver.drive({ type: 'start' });
    return said(rest);
  }
}

const closed: SessionEvent = { type: 'acked', ack: { type: 'close-session' }, elapsedMs: 1 };

/** A server that takes fragments of 100 bytes, and the end of the file, and answers its offset to others. */
class FragmentServer {
  readonly #totalBytes: number;
  #held = 0;

  constructor(totalBytes = 250) {
    this.#totalBytes = totalBytes;
  }

  take(command: string): SessionEvent {
    const { start, end } = rangeOf(command);
    const isNext = end - start === 100 || end === this.#totalBytes;
    if (start !== this.#held || !isNext) return outOfStep(this.#held);
    this.#held = end;
    return has(end);
  }
}

/** As the answer of a server that has the reply to a whole file. */
function withReply(event: SessionEvent): SessionEvent {
  const isWhole =
    event.type === 'acked' && event.ack.type === 'fragment' && event.ack.nextOffset === 250;
  return isWhole ? has(250, URL_OF_REPLY) : event;
}

/** The range in `fragment 0-100`. */
function rangeOf(command: string): { start: number; end: number } {
  const [, start, end] = /fragment (\d+)-(\d+)/.exec(command) ?? [];
  return { start: Number(start), end: Number(end) };
}

describe('the time that a job takes', () => {
  it('is ten minutes without a new byte, whatever else is answered', async () => {
    const world = new World((command) => (command === 'create-session' ? created() : busy));
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.equal(DEFAULTS.timeouts.noProgressMs);
    expect(world.clock.waits.slice(0, 8)).to.deep.equal(
      [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1000),
    );
  });

  it('counts requests that take long, too', async () => {
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created();
      clock.pass(5 * MINUTE_MS);
      return lost;
    });
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.be.within(15 * MINUTE_MS, 16 * MINUTE_MS);
  });

  it('counts from the first failure, which is followed by a second try however late it came', async () => {
    let failures = 0;
    const server = new FragmentServer();
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      if (failures++ > 0) return server.take(command);
      clock.pass(60 * MINUTE_MS);
      return lost;
    });
    expect(await world.ends()).to.equal('completed acknowledged');
  });

  it('starts anew with each sign of progress inside a command', async () => {
    let tries = 0;
    const server = new FragmentServer();
    const world = new World((command, { clock, driver }) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      clock.pass(9 * MINUTE_MS);
      if (tries++ >= 10) return server.take(command);
      driver.progressed();
      return busy;
    });
    expect(await world.ends()).to.equal('completed acknowledged');
  });

  it('has no end as long as new bytes are acknowledged', async () => {
    const failed = new Set<string>();
    const server = new FragmentServer(10_000);
    const world = new World(
      (command, { clock }) => {
        if (command === 'create-session') return created();
        if (command === 'close-session') return closed;
        const { start, end } = rangeOf(command);
        if (end - start !== 100 || failed.has(command)) return server.take(command);
        failed.add(command);
        clock.pass(9 * MINUTE_MS);
        return busy;
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
      clock.pass(4 * MINUTE_MS);
      return sessions < 3 ? gone : busy;
    });
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    // Failing since the first lost session, at 4 minutes.
    expect(world.clock.nowMs).to.be.within(14 * MINUTE_MS, 17 * MINUTE_MS);
  });

  it('is what Retry-After asks for, up to five minutes', async () => {
    const asks = [90_000, 31_536_000_000];
    const server = new FragmentServer();
    const world = new World((command) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      const retryAfterMs = asks.shift();
      if (retryAfterMs === undefined || busy.type !== 'failed') return server.take(command);
      return { ...busy, refusal: { ...busy.refusal, retryAfterMs } };
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.clock.waits).to.deep.equal([90_000, 300_000]);
  });

  it('backs off anew after progress', async () => {
    const fails = [true, true, true, false, false, true, false, false];
    const server = new FragmentServer();
    const world = new World((command) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      return fails.shift() ? busy : server.take(command);
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
    const server = new FragmentServer();
    const world = new World((command) => {
      if (command === 'create-session') return created(hostId);
      if (command.endsWith('@host-id')) return busy;
      if (command === 'ping') return pinged;
      return command === 'close-session' ? closed : server.take(command);
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.clock.nowMs).to.equal(90_500);
    const firstAtOrigin = world.commands.indexOf('ping');
    expect(world.commands.slice(firstAtOrigin)).to.deep.equal([
      'ping',
      'fragment 0-99',
      'fragment 0-100',
      'fragment 100-200',
      'fragment 200-250',
      'close-session',
    ]);
  });

  it('on a host-id is never told as less than nothing, however long a failure takes', async () => {
    const hostId = { hostId: 'web3.corp.example', hostIdFallbackTimeoutMs: 10_000 };
    const server = new FragmentServer();
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created(hostId);
      if (command === 'ping') return pinged;
      if (command === 'close-session') return closed;
      if (!command.endsWith('@host-id')) return server.take(command);
      clock.pass(30_000);
      return busy;
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.retries.map(({ delayMs }) => delayMs)).to.deep.equal([1000, 0]);
  });

  it('until the fallback starts with an error and anew with progress', async () => {
    const hostId = { hostId: 'web3.corp.example', hostIdFallbackTimeoutMs: 100_000 };
    const failed = new Set<string>();
    const server = new FragmentServer();
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created(hostId);
      if (command.startsWith('ping')) return pinged;
      if (command.startsWith('close')) return closed;
      // Twice nearly long enough, and hours of success between.
      const { start, end } = rangeOf(command);
      if (end - start < 50 || end % 50 !== 0) return server.take(command);
      if (!failed.has(command)) {
        failed.add(command);
        return busy;
      }
      clock.pass(99_000 - 1000);
      return server.take(command);
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(
      world.commands.every(
        (command) =>
          !/^(ping|fragment.*|close-session)$/.test(command) || command.endsWith('@host-id'),
      ),
    ).to.equal(true);
  });

  const LATE_REPLIES: Readonly<Record<string, (command: string) => SessionEvent | undefined>> = {
    'that is announced late': (command) =>
      command.startsWith('fragment') && rangeOf(command).end === 250 ? outOfStep(250) : undefined,
    'that cannot be downloaded yet': (command) =>
      command.startsWith('download') ? busy : undefined,
  };
  for (const [which, isLate] of Object.entries(LATE_REPLIES)) {
    it(`on a host-id is not shortened by a reply ${which}`, async () => {
      const hostId = { hostId: 'web3.corp.example', hostIdFallbackTimeoutMs: 10_000 };
      const server = new FragmentServer();
      const world = new World(
        (command, { clock }) => {
          const late = clock.nowMs < MINUTE_MS ? isLate(command) : undefined;
          if (late !== undefined) return late;
          if (command === 'create-session') return created(hostId);
          if (command.startsWith('ping')) return pinged;
          if (command.startsWith('close')) return closed;
          if (command.startsWith('download')) return replyStored;
          return withReply(server.take(command));
        },
        { reply: 'required' },
      );
      expect(await world.ends()).to.equal('completed acknowledged');
      expect(world.clock.nowMs).to.be.above(MINUTE_MS);
      expect(world.commands).to.not.include('ping');
    });
  }

  it('on a host-id without such a time-out is that of any other server', async () => {
    const world = new World((command) =>
      command === 'create-session' ? created({ hostId: 'web3.corp.example' }) : busy,
    );
    expect(await world.ends()).to.equal('failed BITS_ERR_NO_PROGRESS resumable');
    expect(world.clock.nowMs).to.equal(DEFAULTS.timeouts.noProgressMs);
    expect(world.commands).to.not.include('ping');
  });

  it('counts a sleep of the machine for nothing, and begins all retries again after it', async () => {
    let failures = 0;
    const server = new FragmentServer();
    const world = new World((command, { clock }) => {
      if (command === 'create-session') return created();
      if (command === 'close-session') return closed;
      failures++;
      // The monotonic clock goes on while no timer fires.
      if (failures === 3) clock.nowMs += 8 * 60 * MINUTE_MS;
      return failures < 8 ? lost : server.take(command);
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.retries.map(({ attempt }) => attempt).slice(0, 5)).to.deep.equal([1, 2, 3, 1, 2]);
  });

  it('is short between connections that do not come about, which cost nothing', async () => {
    let failures = 0;
    if (lost.type !== 'failed') throw new Error('not a failure');
    const unsent: SessionEvent = { ...lost, refusal: { ...lost.refusal, unsent: true } };
    const world = new World((command) => {
      if (command === 'create-session') return ++failures < 10 ? unsent : created();
      return command === 'close-session' ? closed : has(rangeOf(command).end);
    });
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(Math.max(...world.clock.waits)).to.equal(5000);
  });

  for (const what of ['a back-off', 'a shouldRetry that never answers'] as const) {
    it(`is none between an interruption and the end of ${what}`, async () => {
      const clock: DriverClock = {
        now: () => 0,
        sleep: (_ms, signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason));
          }),
        schedule: () => () => {},
      };
      const interrupt = () => void Promise.resolve().then(() => world.interrupt());
      const shouldRetry = () => {
        interrupt();
        return new Promise<boolean>(() => {});
      };
      const world = new World((command) => (command === 'create-session' ? created() : busy), {
        clock,
        onRetry: interrupt,
        retry: {
          ...DEFAULTS.retry,
          shouldRetry: what === 'a back-off' ? () => true : shouldRetry,
        },
      });
      expect(await world.ends()).to.equal('pause');
    });
  }
});

describe('the retries of a job', () => {
  const limited = { ...DEFAULTS.retry, limit: 3, shouldRetry: () => true };
  const serverIsDown = (command: string) => (command === 'create-session' ? created() : busy);

  it('are as many as the limit allows, and then the last failure ends the job', async () => {
    const world = new World(serverIsDown, { retry: limited });
    expect(await world.ends()).to.match(/^failed .* resumable$/);
    expect(world.commands).to.have.lengthOf(1 + 4);
    expect(world.retries.map(({ attempt }) => attempt)).to.deep.equal([1, 2, 3]);
  });

  it('are all due again after progress inside an attempt that fails', async () => {
    let failures = 0;
    const server = new FragmentServer();
    const world = new World(
      (command, { driver }) => {
        if (command === 'create-session') return created();
        if (command === 'close-session') return closed;
        if (++failures > 9) return server.take(command);
        // Each but the third in three moves something.
        if (failures % 3 !== 0) driver.progressed();
        return busy;
      },
      { retry: { ...limited, limit: 2 } },
    );
    expect(await world.ends()).to.equal('completed acknowledged');
    expect(world.retries.map(({ attempt }) => attempt)).to.deep.equal([1, 1, 2, 1, 1, 2, 1, 1, 2]);
  });

  it('end after as many in a row without progress as the limit allows, whatever came before', async () => {
    let failures = 0;
    const world = new World(
      (command, { driver }) => {
        if (command === 'create-session') return created();
        if (++failures <= 5) driver.progressed();
        return busy;
      },
      { retry: limited },
    );
    expect(await world.ends()).to.match(/^failed .* resumable$/);
    expect(world.retries.map(({ attempt }) => attempt)).to.deep.equal([1, 1, 1, 1, 1, 2, 3]);
    expect(failures).to.equal(5 + 3);
  });

  it('end with a failure that says what failed last when nothing got further for too long', async () => {
    const errors: BitsError[] = [];
    const world = new World(serverIsDown);
    world.stepped = ((_session: unknown, command: { outcome?: { error?: BitsError } }) => {
      if (command.outcome?.error) errors.push(command.outcome.error);
    }) as CommandRunner['stepped'] as () => void;
    await world.ends();
    expect(errors[0]).to.be.instanceOf(BitsError).and.include({ code: 'BITS_ERR_NO_PROGRESS' });
    expect(errors[0]?.message).to.match(/no progress for 600 s .*last failure: /);
  });

  it('are not made of a fault in the code, a TypeError included', async () => {
    for (const bug of [new TypeError('undefined is not a function'), new Error('bug')]) {
      const world = new World(() => {
        throw bug;
      });
      const error = await world.ends().catch((thrown: unknown) => thrown);
      expect(error).to.equal(bug);
      expect(world.commands).to.have.lengthOf(1);
    }
  });

  it('end with BITS_ERR_ARGUMENT when shouldRetry throws', async () => {
    const shouldRetry = () => {
      throw new Error('oops');
    };
    const world = new World(serverIsDown, { retry: { ...limited, shouldRetry } });
    expect(await world.ends()).to.include('BITS_ERR_ARGUMENT');
  });

  it('end at once when shouldRetry says so', async () => {
    const world = new World(serverIsDown, { retry: { ...limited, shouldRetry: () => false } });
    await world.ends();
    expect(world.retries).to.have.lengthOf(0);
  });
});

describe('a stop', () => {
  it('between two packets leaves none of them in doubt', async () => {
    const server = new FragmentServer();
    const world = new World((command) => {
      if (command === 'create-session') return created();
      world.interrupt();
      return server.take(command);
    });
    expect(await world.ends()).to.equal('pause');
    expect(world.commands).to.deep.equal(['create-session', 'fragment 0-100']);
    expect(world.driver.session).to.include({ pending: undefined, offset: 100 });
    expect(world.driver.session.doubt.offset).to.equal(false);
  });
});
