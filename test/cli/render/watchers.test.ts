import { expect } from 'chai';
import { Heartbeat } from '../../../src/cli/render/heartbeat.js';
import { WatchedReporter } from '../../../src/cli/render/watchers.js';
import type { QueueProgress } from '../../../src/index.js';
import { Capture } from '../capture.js';
import { handClock, result, target } from './fixtures.js';

const total: QueueProgress = {
  filesWaiting: 6,
  filesRunning: 4,
  filesSuspended: 0,
  filesDone: 2,
  filesFailed: 1,
  bytesSent: 34 * 1024 ** 2,
  bytesTotal: 340 * 1024 ** 2,
  bytesPerSecond: 8 * 1024 ** 2,
  etaMs: undefined,
};

describe('those that watch a command', () => {
  it('are told all that they want to know', () => {
    const seen: unknown[] = [];
    const one = { done: (...args: unknown[]) => seen.push(['one', ...args]) };
    const other = {
      done: (...args: unknown[]) => seen.push(['other', ...args]),
      warning: () => {},
    };
    const reporter = new WatchedReporter(new Capture(), [one, other], () => 0);
    reporter.done(target, result);
    reporter.warning({ code: 'w', message: 'm' });
    reporter.total(total);
    expect(seen).to.deep.equal([
      ['one', target, result],
      ['other', target, result],
    ]);
  });

  it('get their ticks at their own intervals', () => {
    const clock = handClock();
    const ticks: number[] = [];
    const every = (tickEveryMs: number) => ({ tickEveryMs, tick: () => ticks.push(tickEveryMs) });
    const reporter = new WatchedReporter(
      new Capture(),
      [every(125), every(5000), {}, every(30_000)],
      clock.now,
    );
    expect(reporter.tickEveryMs).to.equal(125);
    for (let atMs = 0; atMs < 60_000; atMs += 125) {
      clock.advance(125);
      reporter.tick();
    }
    const count = (of: number) => ticks.filter((ms) => ms === of).length;
    expect([125, 5000, 30_000].map(count)).to.deep.equal([480, 12, 2]);
    expect(new WatchedReporter(new Capture(), [{}], clock.now).tickEveryMs).to.equal(undefined);
  });
});

describe('the heartbeat of --stats', () => {
  it('says how far all files are, and when nothing has moved since', () => {
    const stderr = new Capture();
    const heartbeat = new Heartbeat(stderr, 30_000);
    heartbeat.tick();
    heartbeat.total(total);
    heartbeat.tick();
    heartbeat.allFound();
    heartbeat.total(total);
    heartbeat.tick();
    heartbeat.tick();
    expect(stderr.lines).to.deep.equal([
      '2 of 13+ files stored, 1 failed, 34.0 MiB sent, 8.0 MiB/s',
      '2 of 13 files stored, 1 failed, 34.0 MiB sent, 8.0 MiB/s, about 1:15 left',
      '2 of 13 files stored, 1 failed, 34.0 MiB sent, no progress since the last line',
    ]);
  });
});
