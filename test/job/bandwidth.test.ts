import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { Bandwidth, type BandwidthClock, type BandwidthOptions } from '../../src/job/bandwidth.js';
import { parseSchedule, rateAt } from '../../src/job/bandwidth-schedule.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { UploadQueue } from '../../src/queue/upload-queue.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { FakeClock } from '../support/fake-clock.js';
import { patterned } from '../support/files.js';

const MB = 1_000_000;
const never = new AbortController().signal;

/** Time in which transfers go on. */
class TransferClock extends FakeClock implements BandwidthClock {
  hours = 12;

  readonly setTimer = this.schedule;
  readonly localTime = () => ({ getHours: () => this.hours, getMinutes: () => 0 });

  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed++) {
      this.pass(1);
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    }
  }
}

describe('a limit of bandwidth', () => {
  let clock: TransferClock;
  let grants: { readonly atMs: number; readonly bytes: number; readonly who: number }[];

  beforeEach(() => {
    clock = new TransferClock();
    grants = [];
  });

  const limited = (options: BandwidthOptions) => new Bandwidth(options, clock);

  /** A transfer that takes all it gets, in pieces as the transport asks for them. */
  async function transfer(bandwidth: Bandwidth, who = 0, pieceBytes = 2 * MB): Promise<void> {
    for (;;) {
      const bytes = await bandwidth.grant(pieceBytes, never);
      grants.push({ atMs: clock.nowMs, bytes, who });
      // Without a limit it would never end.
      if (bytes === pieceBytes) return;
    }
  }

  const bytesIn = (fromMs: number, toMs: number, who?: number) =>
    grants
      .filter((it) => it.atMs >= fromMs && it.atMs < toMs && (who === undefined || it.who === who))
      .reduce((sum, { bytes }) => sum + bytes, 0);

  for (const transfers of [1, 4]) {
    for (const lateMs of [0, 7]) {
      it(`holds over any 10 s with ${transfers} transfers and timers ${lateMs} ms late`, async () => {
        clock.lateMs = lateMs;
        const bandwidth = limited({ bytesPerSecond: 2 * MB });
        for (let who = 0; who < transfers; who++) void transfer(bandwidth, who);
        await clock.run(14_000);
        for (let fromMs = 0; fromMs <= 4000; fromMs += 250) {
          expect(bytesIn(fromMs, fromMs + 10_000)).to.be.closeTo(20 * MB, MB);
        }
        for (let fromMs = 0; fromMs < 13_000; fromMs += 250) {
          const evenly = 0.25 * 2 * MB;
          expect(bytesIn(fromMs, fromMs + 250)).to.be.within(0.6 * evenly, 1.4 * evenly);
        }
        for (let who = 0; who < transfers; who++) {
          expect(bytesIn(0, 10_000, who)).to.be.closeTo((20 * MB) / transfers, MB / 2);
        }
      });
    }
  }

  it('is made up for after a short pause, and not after a long one', async () => {
    const bandwidth = limited({ bytesPerSecond: MB });
    clock.nowMs = 60_000;
    void transfer(bandwidth);
    await clock.run(1000);
    expect(bytesIn(60_000, 61_000)).to.be.within(1.2 * MB, 1.4 * MB);
  });

  for (const [how, before, after] of [
    ['rises', 1000, MB],
    ['rises from next to nothing', 1, MB],
    ['falls', MB, 1000],
    ['falls to next to nothing', 100 * MB, 1000],
    ['ends', 1000, Number.POSITIVE_INFINITY],
    ['begins', Number.POSITIVE_INFINITY, 1000],
  ] as const) {
    it(`counts at once when it ${how}, also while a transfer waits`, async () => {
      const bandwidth = limited({ bytesPerSecond: before });
      if (Number.isFinite(before)) {
        void transfer(bandwidth);
        // Into the middle of a portion.
        await clock.run(2005);
      }
      bandwidth.change({ bytesPerSecond: after });
      expect(bandwidth.currentBytesPerSecond).to.equal(after);
      const changedMs = clock.nowMs;
      if (Number.isFinite(after)) {
        if (!Number.isFinite(before)) void transfer(bandwidth);
        await clock.run(10_000);
        expect(bytesIn(changedMs, changedMs + 10_000)).to.be.closeTo(10 * after, 0.6 * after + 600);
      } else {
        const all = await bandwidth.grant(5 * MB, never);
        expect(all).to.equal(5 * MB);
      }
    });
  }

  it('follows its schedule while a transfer waits', async () => {
    const bandwidth = limited({ bytesPerSecond: 1000, schedule: '18:00-08:00=100KB/s' });
    void transfer(bandwidth);
    await clock.run(5000);
    clock.hours = 18;
    await clock.run(11_000);
    expect(bytesIn(0, 5000)).to.be.closeTo(5000, 500);
    expect(bytesIn(6000, 16_000)).to.be.closeTo(MB, 0.05 * MB);
  });

  it('lets a transfer go that is aborted, and gives its share to others', async () => {
    const bandwidth = limited({ bytesPerSecond: 1000 });
    void transfer(bandwidth, 1);
    await clock.run(1000);
    const controller = new AbortController();
    const aborted = bandwidth.grant(1000, controller.signal).catch((error) => error.code);
    controller.abort();
    expect(await aborted).to.equal('BITS_ERR_ABORTED');
    await clock.run(10_000);
    expect(bytesIn(1000, 11_000, 1)).to.be.closeTo(10_000, 600);
  });

  it('keeps no timer when nobody waits', async () => {
    const bandwidth = limited({ bytesPerSecond: 1000 });
    await bandwidth.grant(10, never);
    const controller = new AbortController();
    const aborted = bandwidth.grant(10_000, controller.signal).catch(() => {});
    const second = bandwidth.grant(10_000, controller.signal).catch(() => {});
    controller.abort();
    await Promise.all([aborted, second]);
    await clock.run(2000);
    expect(clock.timers.size).to.equal(0);
  });

  it('of no speed is none', async () => {
    expect(await limited({}).grant(7 * MB, never)).to.equal(7 * MB);
  });

  const refused: readonly [string, unknown][] = [
    ['a speed of 0', { bytesPerSecond: 0 }],
    ['a speed that is no number', { bytesPerSecond: '1MB/s' }],
    ['an unknown option', { bytesPerMinute: 1 }],
    ['replies that are neither true nor false', { replies: 1 }],
    ['a number', 5],
    ['a schedule that is no text', { schedule: ['08:00-18:00=1MB/s'] }],
    ['a time that there is not', { schedule: '08:00-25:00=1MB/s' }],
    ['a time of no length', { schedule: '08:00-08:00=1MB/s' }],
    ['a speed without a time', { schedule: '1MB/s' }],
    ['a speed without /s', { schedule: '08:00-18:00=1MB' }],
    ['a scheduled speed of 0', { schedule: '08:00-18:00=0/s' }],
  ];
  for (const [what, options] of refused) {
    it(`refuses ${what}`, () => {
      const make = () =>
        new UploadJob({ url: 'http://a.example/b', source: 'c', bandwidth: options as never });
      expect(make).to.throw(BitsError).with.property('code', 'BITS_ERR_ARGUMENT');
    });
  }
});

describe('the schedule of a limit of bandwidth', () => {
  const at = (text: string, time: string) => {
    const [hours = 0, minutes = 0] = time.split(':').map(Number);
    return rateAt(parseSchedule(text), 7, { getHours: () => hours, getMinutes: () => minutes });
  };
  const cases: readonly [string, string, number][] = [
    ['08:00-18:00=1MB/s', '07:59', 7],
    ['08:00-18:00=1MB/s', '08:00', MB],
    ['08:00-18:00=1MB/s', '17:59', MB],
    ['08:00-18:00=1MB/s', '18:00', 7],
    ['22:00-06:00=512KiB/s', '23:30', 512 * 1024],
    ['22:00-06:00=512KiB/s', '05:59', 512 * 1024],
    ['22:00-06:00=512KiB/s', '06:00', 7],
    ['00:00-24:00=1000/s', '00:00', 1000],
    ['12:00-13:00=unlimited, 08:00-18:00=1MB/s', '12:30', Number.POSITIVE_INFINITY],
    ['12:00-13:00=unlimited, 08:00-18:00=1MB/s', '13:00', MB],
    ['8:00-9:00=1.5MB/s; 9:00-10:00=2MB/s', '8:30', 1.5 * MB],
    ['8:00-9:00=1.5MB/s; 9:00-10:00=2MB/s', '9:00', 2 * MB],
    ['', '12:00', 7],
  ];
  for (const [text, time, rate] of cases) {
    it(`"${text}" gives ${rate} at ${time}`, () => {
      expect(at(text, time)).to.equal(rate);
    });
  }

  it('goes by the clock on the wall when that is set forward and back', () => {
    const schedule = parseSchedule('02:00-03:00=5/s, 03:00-04:00=9/s');
    const rate = (hours: number, minutes: number) =>
      rateAt(schedule, 7, { getHours: () => hours, getMinutes: () => minutes });
    // 01:59 is followed by 03:00.
    expect([rate(1, 59), rate(3, 0)]).to.deep.equal([7, 9]);
    // The hour from 02:00 to 03:00 comes twice.
    expect([rate(2, 59), rate(2, 0), rate(2, 59), rate(3, 0)]).to.deep.equal([5, 5, 5, 9]);
  });
});

describe('an upload with a limit of bandwidth', () => {
  let server: BitsServer;
  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  it('takes as long as the limit says, and no silence of its own is taken for a stall', async () => {
    server = await createBitsServer();
    const source = patterned(800);
    const job = new UploadJob({
      url: `${server.url}slow`,
      source,
      bandwidth: { bytesPerSecond: 500 },
      // Much shorter than the pauses between two pieces.
      timeouts: { stallMs: 250 },
      retry: { limit: 0 },
    });
    const { durationMs, bytesSent } = await job.start();
    expect(bytesSent).to.equal(800);
    expect(durationMs).to.be.within(800, 3000);
    expect(await readFile(join(server.root, 'slow'))).to.deep.equal(source);
  });

  it('is faster as soon as the limit of the job is raised, inside a fragment', async () => {
    server = await createBitsServer();
    const job = new UploadJob({
      url: `${server.url}raised`,
      source: patterned(MB),
      bandwidth: { bytesPerSecond: 1000 },
    });
    const ended = job.start();
    await server.waitForRequest('create-session');
    await new Promise((resolve) => job.once('progress', resolve));
    job.bandwidth?.change({ bytesPerSecond: Number.POSITIVE_INFINITY });
    await ended;
    expect(server.log.filter(({ packet }) => packet === 'fragment')).to.have.lengthOf(1);
  });

  it('rests at once when it is suspended while it waits', async () => {
    server = await createBitsServer();
    const bandwidth = new Bandwidth({ bytesPerSecond: 1 });
    const job = new UploadJob({ url: `${server.url}rests`, source: patterned(MB), bandwidth });
    void job.start();
    await new Promise((resolve) => job.once('progress', resolve));
    const before = performance.now();
    await job.suspend();
    expect(performance.now() - before).to.be.below(1000);
    bandwidth.change({ bytesPerSecond: Number.POSITIVE_INFINITY });
    await job.resume();
  });

  for (const replies of [true, false]) {
    it(`${replies ? 'limits' : 'does not limit'} its reply when replies is ${replies}`, async () => {
      server = await createBitsServer({ reply: () => Buffer.alloc(20_000, 7) });
      const job = new UploadJob({
        url: `${server.url}replied`,
        source: patterned(10),
        reply: true,
        timeouts: { answerMs: 1000 },
        bandwidth: { bytesPerSecond: 20_000, replies },
      });
      const { durationMs, reply } = await job.start();
      expect(reply?.bytes).to.equal(20_000);
      if (replies) expect(durationMs).to.be.above(700);
      else expect(durationMs).to.be.below(700);
    });
  }

  it('shares it with the other jobs of its queue', async () => {
    server = await createBitsServer();
    const queue = new UploadQueue({ concurrency: 4, bandwidth: { bytesPerSecond: 400_000 } });
    const before = performance.now();
    for (let n = 0; n < 4; n++) {
      queue.add({ url: `${server.url}${n}`, source: patterned(100_000) });
    }
    expect(await queue.onIdle()).to.include({ filesDone: 4 });
    expect(performance.now() - before).to.be.within(800, 3000);
    expect(queue.bandwidth?.currentBytesPerSecond).to.equal(400_000);
  });
});
