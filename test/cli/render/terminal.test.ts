import { expect } from 'chai';
import { columnsOf } from '../../../src/cli/render/columns.js';
import { signsOf } from '../../../src/cli/render/signs.js';
import { TerminalReporter } from '../../../src/cli/render/terminal.js';
import type { QueueProgress } from '../../../src/index.js';
import { handClock, progressAt, result, retryIn4s, target } from './fixtures.js';
import { Screen } from './screen.js';

const UTF8 = { LANG: 'en_US.UTF-8' };

interface SetUp {
  readonly columns?: number;
  readonly rows?: number;
  readonly color?: boolean;
  readonly isDetailed?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

const opened: TerminalReporter[] = [];

function setUp({
  columns = 100,
  rows = 24,
  color = false,
  isDetailed = false,
  env = UTF8,
}: SetUp = {}) {
  const screen = new Screen(columns, rows);
  const clock = handClock();
  const signs = signsOf(env, 'linux');
  const reporter = new TerminalReporter(screen, { color, signs, isDetailed, now: clock.now });
  opened.push(reporter);
  return { screen, clock, reporter };
}

const summary = {
  files: 1,
  succeeded: 1,
  failed: 0,
  unfinished: 0,
  skipped: 0,
  bytes: 0,
  bytesSent: 0,
  durationMs: 1,
};

const totalOf = (changes: Partial<QueueProgress> = {}): QueueProgress => ({
  filesWaiting: 6,
  filesRunning: 4,
  filesSuspended: 0,
  filesDone: 2,
  filesFailed: 0,
  bytesSent: 34 * 1024 ** 2,
  bytesTotal: 340 * 1024 ** 2,
  bytesPerSecond: 8 * 1024 ** 2,
  etaMs: undefined,
  ...changes,
});

/** Several files that run, each in the middle. */
function runMany({ reporter }: ReturnType<typeof setUp>, count: number, name = 'file') {
  const targets = Array.from({ length: count }, (_, n) => ({
    ...target,
    file: `${name}-${n}.bin`,
  }));
  for (const one of targets) {
    reporter.begin(one);
    reporter.state(one, 'fragment');
    reporter.progress(one, progressAt(32));
  }
  reporter.total(totalOf());
  reporter.allFound();
  reporter.tick();
  return targets;
}

describe('the display on a terminal', () => {
  afterEach(() => {
    for (const reporter of opened.splice(0)) reporter.summary(summary);
  });

  it('has name, bar, percent, bytes, speed and time left', async () => {
    const { reporter, screen } = setUp();
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    reporter.tick();
    expect(await screen.lines()).to.have.length(1);
    expect((await screen.lines())[0]).to.match(
      /^⠙ dump\.zip ━+─+ 50 % {2}32\.0 MiB of 64\.0 MiB {2}8\.0 MiB\/s, 0:04 left$/,
    );
  });

  it('has plain ASCII when the locale has no more', async () => {
    for (const env of [{}, { LC_ALL: 'C', LANG: 'en_US.UTF-8' }, { LANG: 'de_DE.ISO-8859-1' }]) {
      const { reporter, screen } = setUp({ env });
      reporter.begin({ ...target, file: 'x'.repeat(300) });
      reporter.progress({ ...target }, progressAt(32));
      reporter.tick();
      expect(screen.text.replaceAll('\u001b', '')).to.match(/^[\r\n\x20-\x7e]*$/);
    }
    expect(signsOf({}, 'win32').cut).to.equal('..');
    expect(signsOf({ WT_SESSION: '1' }, 'win32').cut).to.equal('…');
  });

  it('fits into a terminal of any width, with a name in any script', () => {
    for (const file of ['a', '日本語のとても長い名前のファイル.zip', 'x'.repeat(300)]) {
      for (let columns = 1; columns <= 120; columns += columns < 60 ? 1 : 7) {
        const { reporter, screen } = setUp({ columns });
        const other = { ...target, file };
        reporter.begin(other);
        reporter.state(other, 'fragment');
        reporter.progress(other, progressAt(63));
        reporter.total(totalOf());
        reporter.tick();
        reporter.retry(other, retryIn4s);
        reporter.tick();
        reporter.summary(summary);
        for (const line of screen.text.split(/\u001b\[[?\d]*[A-Za-z]|[\r\n]/)) {
          expect(columnsOf(line)).to.be.at.most(Math.max(1, columns - 1));
        }
      }
    }
  });

  it('leaves out words in a narrow terminal, but neither name, percent, speed nor time left', async () => {
    const display = setUp({ columns: 40 });
    runMany(display, 2, 'a-file-with-a-long-name');
    const lines = await display.screen.lines();
    expect(lines).to.deep.equal([
      '⠙ a-file…e-0.bin  50 %  8.0 MiB/s  0:04',
      '⠙ a-file…e-1.bin  50 %  8.0 MiB/s  0:04',
      'Total: 2 of 12  8.0 MiB/s  1:21',
    ]);
  });

  it('has a line for each running file, then the total, and results above', async () => {
    const display = setUp();
    const { reporter, screen } = display;
    const [first = target] = runMany(display, 3);
    reporter.done(first, result);
    reporter.tick();
    const lines = await screen.lines();
    expect(lines.map((line) => line.replace(/ ━.*/, ''))).to.deep.equal([
      'file-0.bin: done, 64.0 MiB in 3.2 s (20.0 MiB/s)',
      '⠹ file-1.bin',
      '⠹ file-2.bin',
      'Total: 2 of 12 files  34.0 MiB  8.0 MiB/s, about 1:21 left',
    ]);
  });

  it('has no time left in its total while more files may follow', async () => {
    const { reporter, screen } = setUp();
    reporter.begin(target);
    reporter.total(totalOf());
    reporter.tick();
    expect((await screen.lines()).at(-1)).to.equal('Total: 2 of 12+ files  34.0 MiB  8.0 MiB/s');
    reporter.allFound();
    reporter.tick();
    expect((await screen.lines()).at(-1)).to.match(/2 of 12 files .* about 1:21 left$/);
  });

  it('has no speed in its total after a time without news', async () => {
    const display = setUp();
    runMany(display, 2);
    display.clock.advance(2500);
    display.reporter.tick();
    expect((await display.screen.lines()).at(-1)).to.equal('Total: 2 of 12 files  34.0 MiB  0 B/s');
  });

  it('has no more lines than there is room for', async () => {
    const display = setUp({ rows: 8 });
    runMany(display, 20);
    const lines = await display.screen.lines();
    expect(lines).to.have.length(7);
    expect(lines.at(-2)).to.equal('  and 15 more');
    expect(lines.at(-1)).to.match(/^Total: /);
  });

  for (const [columns, rows] of [
    [40, 24],
    [20, 40],
    [160, 40],
    [100, 6],
  ] as const) {
    it(`is right again after a resize to ${columns} by ${rows}`, async () => {
      const display = setUp({ columns: 100, rows: 24 });
      const { reporter, screen } = display;
      screen.write('$ bits-upload put\n');
      runMany(display, 3);
      await screen.resize(columns, rows);
      reporter.tick();
      const lines = await screen.lines();
      expect(lines).to.have.length(5);
      expect(lines[0]).to.equal('$ bits-upload put');
      for (const row of lines.slice(1)) expect(columnsOf(row)).to.be.below(columns);
    });
  }

  it('draws each frame in one write', () => {
    const display = setUp();
    runMany(display, 5);
    const before = display.screen.writes;
    for (let frame = 0; frame < 10; frame++) display.reporter.tick();
    expect(display.screen.writes - before).to.equal(10);
  });

  it('hides the cursor while it draws, and shows it again at its end and when the process exits', () => {
    const atEnd = setUp();
    runMany(atEnd, 2);
    expect(atEnd.screen.isCursorHidden).to.equal(true);
    const listeners = process.listenerCount('exit');
    atEnd.reporter.summary(summary);
    expect(atEnd.screen.isCursorHidden).to.equal(false);
    expect(process.listenerCount('exit')).to.equal(listeners - 1);

    const atExit = setUp();
    runMany(atExit, 2);
    const exiting = process.listeners('exit').at(-1) as (code: number) => void;
    exiting(130);
    expect(atExit.screen.isCursorHidden).to.equal(false);
  });

  it('keeps moving while there is no progress', async () => {
    const { reporter, screen, clock } = setUp();
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    const seen = new Set<string | undefined>();
    for (let second = 0; second < 5; second += 1) {
      clock.advance(1000);
      reporter.tick();
      seen.add((await screen.lines())[0]);
    }
    expect(seen.size).to.equal(5);
    expect((await screen.lines())[0]).to.contain('no progress for 5 s');
  });

  it('shows the wait for the last answer as a wait, not as a stall', async () => {
    const { reporter, screen, clock } = setUp({ columns: 140 });
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(64, { bytesAcknowledged: 0 }));
    clock.advance(90_000);
    reporter.tick();
    expect((await screen.lines())[0]).to.contain('waiting for the answer of the server (90 s)');
  });

  it('counts down to a retry with its cause, and then shows the transfer again', async () => {
    const { reporter, screen, clock } = setUp({ columns: 140 });
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    reporter.retry(target, retryIn4s);
    reporter.tick();
    expect((await screen.lines())[0]).to.contain('retry 2 in 4 s: the connection was reset');
    clock.advance(2500);
    reporter.tick();
    expect((await screen.lines())[0]).to.contain('retry 2 in 2 s');
    reporter.progress(target, progressAt(33));
    reporter.tick();
    expect((await screen.lines())[0]).not.to.contain('retry');
  });

  it('shows the download of the reply', async () => {
    const { reporter, screen } = setUp();
    reporter.begin(target);
    reporter.state(target, 'get-reply');
    reporter.progress(
      target,
      progressAt(64, { phase: 'reply', replyBytes: 512, replyBytesTotal: 1024 }),
    );
    reporter.tick();
    expect((await screen.lines())[0]).to.contain('50 %  512 B of 1.0 KiB');
  });

  it('uses color only when asked to, and resets it', () => {
    const [plain, colored] = [setUp(), setUp({ color: true })];
    for (const { reporter } of [plain, colored]) {
      reporter.begin(target);
      reporter.progress(target, progressAt(32));
      reporter.tick();
    }
    expect(plain.screen.text).not.to.match(/\u001b\[\d+m/);
    expect(colored.screen.text).to.match(/\u001b\[32m━+\u001b\[39m/);
  });

  it('prints each message and result on a line of its own', async () => {
    const { reporter, screen } = setUp();
    reporter.begin(target);
    reporter.progress(target, progressAt(64));
    reporter.warning({ code: 'w', message: 'something odd' });
    reporter.done(target, result);
    // As the program writes a URL right after that.
    screen.write('http://bits.example/in/dump.zip\n');
    reporter.failed(target, retryIn4s.error);
    await new Promise(setImmediate);
    expect(await screen.lines()).to.deep.equal([
      'bits-upload: warning: something odd',
      'dir/dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)',
      'http://bits.example/in/dump.zip',
      'bits-upload: dir/dump.zip: the connection was reset',
    ]);
  });

  it('has the lines of -v above its rows', async () => {
    const { reporter, screen } = setUp({ isDetailed: true });
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    reporter.retry(target, retryIn4s);
    reporter.above.write('a line of another\n');
    await new Promise(setImmediate);
    expect((await screen.lines()).map((line) => line.slice(0, 40))).to.deep.equal([
      'dir/dump.zip: uploading to http://bits.e',
      'dir/dump.zip: retry 2 in 4.0 s: the conn',
      'a line of another',
      '⠋ dump.zip ━━━━━━━━━───────── 50 %  32.0',
    ]);
  });

  it('prints the control characters of a file name as escapes', async () => {
    const { reporter, screen } = setUp();
    reporter.begin({ ...target, file: 'a\u001b[2Jb' });
    reporter.tick();
    expect((await screen.lines())[0]).to.contain('a\\u001b[2Jb');
  });
});
