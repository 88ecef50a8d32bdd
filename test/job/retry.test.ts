import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { expect } from 'chai';
import fc from 'fast-check';
import { BitsTimeoutError } from '../../src/errors.js';
import { backOffMs, noProgress, onNetworkReturn } from '../../src/job/retry.js';

describe('backOffMs', () => {
  const limits = { minDelayMs: 1000, maxDelayMs: 60_000, maxRetryAfterMs: 300_000 };

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

describe('an end without progress', () => {
  it('names the limit as it was set, also below a second', () => {
    const cause = new BitsTimeoutError('late');
    expect(noProgress(300, cause).message).to.include('no progress for 0.3 s');
    expect(noProgress(600_000, cause).message).to.include('no progress for 600 s');
  });
});

describe('a wait for the network', () => {
  it('ends when this machine gets an address that it did not have', () => {
    const addresses = new Set(['10.0.0.1']);
    const timers: (() => void)[] = [];
    let returned = 0;
    onNetworkReturn(
      () => returned++,
      (work) => {
        timers.push(work);
        return () => {};
      },
      () => new Set(addresses),
    );
    addresses.delete('10.0.0.1');
    timers.shift()?.();
    expect(returned).to.equal(0);
    addresses.add('10.0.0.7');
    timers.shift()?.();
    expect(returned).to.equal(1);
    expect(timers).to.have.lengthOf(0);
  });

  it('just passes on a machine that does not tell its addresses', () => {
    const { networkInterfaces } = os;
    os.networkInterfaces = () => {
      throw Object.assign(new Error('uv_interface_addresses failed'), { code: 'ERR_SYSTEM_ERROR' });
    };
    syncBuiltinESMExports();
    try {
      const timers: (() => void)[] = [];
      let returned = 0;
      onNetworkReturn(
        () => returned++,
        (work) => {
          timers.push(work);
          return () => {};
        },
      );
      timers.shift()?.();
      expect(returned).to.equal(0);
      expect(timers).to.have.lengthOf(1);
    } finally {
      os.networkInterfaces = networkInterfaces;
      syncBuiltinESMExports();
    }
  });
});
