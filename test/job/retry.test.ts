import { expect } from 'chai';
import fc from 'fast-check';
import { AbortSwitch } from '../../src/common/abort-switch.js';
import { BitsAbortError, BitsError, BitsTransportError } from '../../src/errors.js';
import { systemClock } from '../../src/job/clock.js';
import {
  backOffMs,
  type RetryDecision,
  type RetryHooks,
  type RetryPolicy,
  retryUntilProgress,
  TryAgain,
} from '../../src/job/retry.js';

const policy: RetryPolicy = {
  retries: 3,
  minRetryDelayMs: 0,
  maxRetryDelayMs: 60_000,
  maxRetryAfterMs: 300_000,
  noProgressTimeoutMs: 600_000,
  shouldRetry: () => true,
};

function hooks(changes: Partial<RetryHooks> = {}): RetryHooks {
  return {
    interruption: new AbortSwitch(),
    random: () => 0,
    sleep: systemClock.sleep,
    failingForMs: () => 0,
    longestWaitMs: () => Number.POSITIVE_INFINITY,
    onRetry: () => {},
    ...changes,
  };
}

const passing = new BitsTransportError('connection refused');
const again = (): never => {
  throw new TryAgain({ meaning: 'transient', error: passing });
};

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('retryUntilProgress', () => {
  it('gives what the attempt gives, at once', async () => {
    expect(await retryUntilProgress(async () => 7, policy, hooks())).to.equal(7);
  });

  it('makes one attempt more than there are retries, then throws what failed last', async () => {
    let attempts = 0;
    const attempt = async () => {
      attempts++;
      again();
    };
    const error = await failure(retryUntilProgress(attempt, policy, hooks()));
    expect(error).to.equal(passing);
    expect(attempts).to.equal(4);
  });

  it('tells each retry and none after the last', async () => {
    const told: RetryDecision[] = [];
    await failure(
      retryUntilProgress(async () => again(), policy, hooks({ onRetry: (d) => told.push(d) })),
    );
    expect(told.map(({ attempt }) => attempt)).to.deep.equal([1, 2, 3]);
  });

  it('does not repeat what is no TryAgain, a TypeError included', async () => {
    for (const bug of [new TypeError('undefined is not a function'), new Error('bug')]) {
      let attempts = 0;
      const attempt = async () => {
        attempts++;
        throw bug;
      };
      expect(await failure(retryUntilProgress(attempt, policy, hooks()))).to.equal(bug);
      expect(attempts).to.equal(1);
    }
  });

  it('gives up when no byte was acknowledged for too long, and says why', async () => {
    const error = await failure(
      retryUntilProgress(async () => again(), policy, hooks({ failingForMs: () => 600_000 })),
    );
    expect(error).to.be.instanceOf(BitsError).and.include({ code: 'BITS_ERR_NO_PROGRESS' });
    expect((error as Error).message).to.match(/600 s .*connection refused/);
  });

  it('waits no longer than a fallback allows', async () => {
    const told: RetryDecision[] = [];
    const slow = { ...policy, minRetryDelayMs: 60_000 };
    const longest = hooks({
      random: () => 1,
      longestWaitMs: () => 1,
      onRetry: (d) => told.push(d),
    });
    await failure(retryUntilProgress(async () => again(), slow, longest));
    expect(told.map(({ delayMs }) => delayMs)).to.deep.equal([1, 1, 1]);
  });

  it('ends a wait that is interrupted', async () => {
    const interruption = new AbortSwitch();
    const interrupt = () => interruption.abort(new BitsAbortError('interrupted'));
    const slow = { ...policy, minRetryDelayMs: 60_000 };
    const waiting = retryUntilProgress(
      async () => again(),
      slow,
      hooks({ interruption, random: () => 1, onRetry: interrupt }),
    );
    expect(await failure(waiting)).to.include({ name: 'AbortError' });
  });

  it('tells a shouldRetry that throws from a failure of the upload', async () => {
    const broken = {
      ...policy,
      shouldRetry: () => {
        throw new Error('oops');
      },
    };
    const error = await failure(retryUntilProgress(async () => again(), broken, hooks()));
    expect(error).to.include({ code: 'BITS_ERR_ARGUMENT' });
  });
});

describe('backOffMs', () => {
  const limits = { minRetryDelayMs: 1000, maxRetryDelayMs: 60_000, maxRetryAfterMs: 300_000 };

  it('is anything up to a bound that doubles and has an end', () => {
    const bounds = [1, 2, 3, 4, 7, 30].map((n) => backOffMs(n, limits, {}, () => 1));
    expect(bounds).to.deep.equal([1000, 2000, 4000, 8000, 60_000, 60_000]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (n, r) => {
          const ms = backOffMs(n, limits, {}, () => r);
          expect(ms).to.be.within(0, 60_000);
        },
      ),
    );
  });

  it('is what the server asks for where that is longer, within bounds', () => {
    expect(backOffMs(1, limits, { retryAfterMs: 90_000 }, () => 1)).to.equal(90_000);
    expect(backOffMs(1, limits, { retryAfterMs: 10 }, () => 1)).to.equal(1000);
    expect(backOffMs(1, limits, { retryAfterMs: 86_400_000 }, () => 0)).to.equal(300_000);
  });
});
