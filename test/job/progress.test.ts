import { expect } from 'chai';
import { etaMs, ProgressReport, SpeedMeter, type UploadProgress } from '../../src/job/progress.js';
import { ProgressStream } from '../../src/job/progress-stream.js';
import { FakeClock } from '../support/fake-clock.js';

describe('SpeedMeter', () => {
  function meterWithClock() {
    const clock = new FakeClock();
    const meter = new SpeedMeter(clock.now);
    /** @returns the speeds that are seen, one after each tenth of a second */
    const run = (bytesPerSecond: (tick: number) => number, seconds: number) =>
      Array.from({ length: seconds * 10 }, (_, tick) => {
        clock.nowMs += 100;
        const bytes = bytesPerSecond(tick) / 10;
        if (bytes > 0) meter.add(bytes);
        return meter.bytesPerSecond;
      });
    return { meter, clock, run };
  }

  it('comes near a steady speed and follows a change within seconds', () => {
    const { run } = meterWithClock();
    expect(run(() => 1_000_000, 10).at(-1)).to.be.closeTo(1_000_000, 1);
    expect(run(() => 100_000, 20).at(-1)).to.be.closeTo(100_000, 10_000);
  });

  it('falls while nothing moves, and knows nothing at first', () => {
    const { meter, clock } = meterWithClock();
    expect(meter.bytesPerSecond).to.equal(0);
    clock.nowMs = 1000;
    meter.add(1000);
    expect(meter.bytesPerSecond).to.be.closeTo(1000, 1);
    clock.nowMs = 31_000;
    expect(meter.bytesPerSecond).to.be.lessThan(20);
  });

  for (const seconds of [5, 30, 3600]) {
    it(`is at half of the speed right after ${seconds} s in which nothing moved, and soon at all of it`, () => {
      const { run, clock } = meterWithClock();
      run(() => 1_000_000, 20);
      clock.nowMs += seconds * 1000;
      const after = run(() => 1_000_000, 6);
      expect(after[0]).to.be.within(480_000, 550_000);
      expect(after[19]).to.be.above(650_000);
      expect(after.at(-1)).to.be.above(850_000);
    });
  }

  it('stays near the mean on a line that is now fast and now stands still', () => {
    const { run } = meterWithClock();
    // In a second: 0.3 s with nothing, and the rest at 0.6 to 2.2 times the mean.
    const jitter = [0, 0, 0, 2.2, 0.6, 1.5, 1.1, 2, 1, 1.6];
    const seen = run((tick) => 1_000_000 * (jitter[tick % 10] ?? 0), 60).slice(100);
    expect(Math.min(...seen)).to.be.above(850_000);
    expect(Math.max(...seen)).to.be.below(1_150_000);
  });

  it('counts the waits for answers as a part of the speed', () => {
    const { run } = meterWithClock();
    const seen = run((tick) => (tick % 20 < 10 ? 2_000_000 : 0), 60).slice(100);
    const mean = seen.reduce((sum, speed) => sum + speed, 0) / seen.length;
    expect(mean).to.be.closeTo(1_000_000, 50_000);
  });
});

describe('etaMs', () => {
  it('is unknown without a speed and 0 when nothing is left', () => {
    expect(etaMs(1000, 0)).to.equal(undefined);
    expect(etaMs(0, 0)).to.equal(0);
    expect(etaMs(1000, 500)).to.equal(2000);
  });
});

describe('ProgressReport', () => {
  function report(bytesTotal = 1000) {
    const told: UploadProgress[] = [];
    const clock = new FakeClock();
    const progress = new ProgressReport((p) => told.push(p), clock);
    progress.opened(bytesTotal);
    return { told, clock, progress };
  }

  it('tells how much of a stream is stored, as its total, before the upload begins', () => {
    const { told, clock, progress } = report(0);
    // As much as that may have been stored before the job was suspended.
    progress.spooled(100);
    expect(told.at(-1)).to.include({ phase: 'spool', bytesTotal: 100, bytesPerSecond: 0 });
    clock.nowMs += 1000;
    progress.spooled(500);
    expect(told.at(-1)).to.include({
      phase: 'spool',
      bytesSent: 0,
      bytesTotal: 500,
      etaMs: undefined,
    });
    expect(told.at(-1)?.bytesPerSecond).to.equal(400);
    progress.spooled(700);
    progress.rests();
    expect(told.at(-1)).to.include({ phase: 'spool', bytesTotal: 700 });
    progress.opened(700);
    progress.continuesAt(0);
    clock.nowMs += 1000;
    progress.sent(7);
    expect(told.at(-1)).to.include({ phase: 'upload', bytesSent: 7, bytesTotal: 700 });
    expect(told.at(-1)?.bytesPerSecond).to.equal(7);
  });

  it('counts what is on the wire on top of what is acknowledged', () => {
    const { told, clock, progress } = report();
    progress.acknowledged(300);
    clock.nowMs += 200;
    progress.fragmentBegins(300);
    progress.sent(50);
    expect(told.at(-1)).to.include({ bytesSent: 350, bytesAcknowledged: 300, bytesTotal: 1000 });
  });

  it('goes back when the server asks for bytes again', () => {
    const { told, clock, progress } = report();
    progress.fragmentBegins(0);
    progress.sent(500);
    clock.nowMs += 200;
    progress.acknowledged(100);
    expect(told.at(-1)).to.include({ bytesSent: 100, bytesAcknowledged: 100 });
  });

  it('tells no more often than ten times a second, but always the end', () => {
    const { told, clock, progress } = report();
    progress.fragmentBegins(0);
    for (let i = 0; i < 1000; i++) {
      clock.nowMs += 1;
      progress.sent(1);
    }
    progress.acknowledged(1000);
    expect(told.length).to.be.within(9, 12);
    expect(told.at(-1)).to.include({ bytesAcknowledged: 1000, etaMs: 0 });
  });

  it('tells in time what came too soon to be told at once, so that a stall shows all of it', () => {
    const { told, clock, progress } = report();
    progress.fragmentBegins(0);
    progress.sent(100);
    clock.pass(10);
    progress.sent(100);
    progress.sent(100);
    expect(told.map(({ bytesSent }) => bytesSent)).to.deep.equal([100]);
    clock.pass(89);
    expect(told).to.have.lengthOf(1);
    clock.pass(1);
    expect(told.map(({ bytesSent }) => bytesSent)).to.deep.equal([100, 300]);
    clock.pass(10_000);
    expect(told).to.have.lengthOf(2);
  });

  it('tells what is left when the run rests, and leaves no timer behind', () => {
    const { told, clock, progress } = report();
    progress.fragmentBegins(0);
    progress.sent(100);
    progress.sent(100);
    expect(clock.timers).to.have.property('size', 1);
    progress.rests();
    expect(told.at(-1)).to.include({ bytesSent: 200 });
    expect(clock.timers).to.have.property('size', 0);
    progress.rests();
    expect(told).to.have.lengthOf(2);
  });

  it('goes on after a pause at what is acknowledged, and says so before the first byte', () => {
    const { told, progress } = report();
    progress.continuesAt(0);
    expect(told).to.be.empty;
    progress.continuesAt(600);
    expect(told.at(-1)).to.include({ bytesSent: 600, bytesAcknowledged: 600 });
  });

  it('keeps no process alive', async () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const progress = new ProgressReport(() => {});
    progress.opened(10);
    progress.sent(1);
    progress.sent(1);
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    expect(after).to.equal(before);
    progress.rests();
  });

  it('changes to the reply when its first bytes come', () => {
    const { told, clock, progress } = report();
    progress.acknowledged(1000);
    clock.nowMs += 200;
    progress.replyReceived(10, 100);
    expect(told.at(-1)).to.include({ phase: 'reply', replyBytes: 10, replyBytesTotal: 100 });
  });
});

describe('a stream of progress', () => {
  it('gives a slow reader the newest value, and an end', async () => {
    const latest = new ProgressStream<number>(() => {});
    const reader = latest[Symbol.asyncIterator]();
    latest.push(1);
    latest.push(2);
    expect(await reader.next()).to.deep.equal({ done: false, value: 2 });
    const next = reader.next();
    latest.push(3);
    expect(await next).to.deep.equal({ done: false, value: 3 });
    latest.push(4);
    latest.end();
    expect(await reader.next()).to.deep.equal({ done: false, value: 4 });
    expect(await reader.next()).to.deep.equal({ done: true, value: undefined });
  });

  it('lets go of a reader that leaves', async () => {
    const latest = new ProgressStream<number>(() => {});
    const reader = latest[Symbol.asyncIterator]();
    const next = reader.next();
    await reader.return?.();
    expect(await next).to.deep.equal({ done: true, value: undefined });
  });

  it('tells of each first use', () => {
    let uses = 0;
    const latest = new ProgressStream<number>(() => uses++);
    expect(uses).to.equal(0);
    latest[Symbol.asyncIterator]();
    expect(uses).to.equal(1);
  });

  it('throws the error with which the run failed, after the last value', async () => {
    const stream = new ProgressStream<number>(() => {});
    const reader = stream[Symbol.asyncIterator]();
    stream.push(1);
    stream.end({ error: new Error('the server said no') });
    expect(await reader.next()).to.deep.equal({ done: false, value: 1 });
    const error = await reader.next().catch((thrown: Error) => thrown);
    expect(error).to.include({ message: 'the server said no' });
    expect(await reader.next()).to.deep.equal({ done: true, value: undefined });
  });
});
