import { stripVTControlCharacters } from 'node:util';
import { expect } from 'chai';
import { BarReporter, columnsOf } from '../../../src/cli/render/bar.js';
import { Capture } from '../capture.js';
import { handClock, progressAt, result, retryIn4s, target } from './fixtures.js';

function setUp({ columns = 100, color = false } = {}) {
  const stderr = new Capture(columns);
  const clock = handClock();
  const bar = new BarReporter(stderr, { color, now: clock.now });
  return { stderr, clock, bar };
}

describe('the progress bar', () => {
  it('shows name, bar, percent, bytes, speed and time left', () => {
    const { bar, stderr } = setUp();
    bar.begin(target);
    bar.state(target, 'fragment');
    bar.progress(target, progressAt(32));
    bar.tick();
    expect(stderr.lastLine).to.match(
      /^\/ dump\.zip \[=+ +\] 50 % {2}32\.0 MiB of 64\.0 MiB {2}8\.0 MiB\/s, 0:04 left$/,
    );
  });

  it('stays on one line in a terminal of any width, with a name in any script', () => {
    for (const file of ['a', '日本語のとても長い名前のファイル.zip', 'x'.repeat(300)]) {
      for (let columns = 1; columns <= 200; columns += 1) {
        const { bar, stderr } = setUp({ columns });
        bar.begin({ ...target, file });
        bar.state(target, 'fragment');
        bar.progress(target, progressAt(63));
        bar.tick();
        bar.retry(target, retryIn4s);
        bar.tick();
        expect(stderr.text).not.to.contain('\n');
        for (const line of stderr.text.split('\r\u001b[K')) {
          expect(columnsOf(line)).to.be.at.most(columns - 1);
        }
      }
    }
  });

  it('keeps moving while there is no progress', () => {
    const { bar, stderr, clock } = setUp();
    bar.begin(target);
    bar.state(target, 'fragment');
    bar.progress(target, progressAt(32));
    const seen = new Set<string>();
    for (let second = 0; second < 5; second += 1) {
      clock.advance(1000);
      bar.tick();
      seen.add(stderr.lastLine);
    }
    expect(seen.size).to.equal(5);
    expect(stderr.lastLine).to.contain('no progress for 5 s');
  });

  it('shows the wait for the last answer as a wait, not as a stall', () => {
    const { bar, stderr, clock } = setUp({ columns: 140 });
    bar.begin(target);
    bar.state(target, 'fragment');
    bar.progress(target, progressAt(64, { bytesAcknowledged: 0 }));
    clock.advance(90_000);
    bar.tick();
    expect(stderr.lastLine).to.contain('waiting for the answer of the server (90 s)');
  });

  it('counts down to a retry with its cause, and then shows the transfer again', () => {
    const { bar, stderr, clock } = setUp({ columns: 140 });
    bar.begin(target);
    bar.state(target, 'fragment');
    bar.progress(target, progressAt(32));
    bar.retry(target, retryIn4s);
    bar.tick();
    expect(stderr.lastLine).to.contain('retry 2 in 4 s: the connection was reset');
    clock.advance(2500);
    bar.tick();
    expect(stderr.lastLine).to.contain('retry 2 in 2 s');
    bar.progress(target, progressAt(33));
    bar.tick();
    expect(stderr.lastLine).not.to.contain('retry');
  });

  it('shows the download of the reply', () => {
    const { bar, stderr } = setUp();
    bar.begin(target);
    bar.state(target, 'get-reply');
    bar.progress(
      target,
      progressAt(64, { phase: 'reply', replyBytes: 512, replyBytesTotal: 1024 }),
    );
    bar.tick();
    expect(stderr.lastLine).to.contain('50 %  512 B of 1.0 KiB');
  });

  it('uses color only when asked to, and resets it', () => {
    const plain = setUp();
    const colored = setUp({ color: true });
    for (const { bar } of [plain, colored]) {
      bar.begin(target);
      bar.progress(target, progressAt(32));
      bar.tick();
    }
    expect(stripVTControlCharacters(plain.stderr.lastLine)).to.equal(plain.stderr.lastLine);
    expect(colored.stderr.lastLine).to.match(/\u001b\[32m=+\u001b\[39m/);
  });

  it('prints each message and result on a line of its own', () => {
    const { bar, stderr } = setUp();
    bar.begin(target);
    bar.progress(target, progressAt(64));
    bar.warning({ code: 'w', message: 'something odd' });
    expect(stderr.lastLine).to.equal('bits-upload: warning: something odd\n');
    bar.done(target, result);
    expect(stderr.lines.at(-1)).to.equal('dir/dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)');
    bar.failed(target, retryIn4s.error);
    expect(stderr.lines.at(-1)).to.equal('bits-upload: dir/dump.zip: the connection was reset');
  });

  it('prints the control characters of a file name as escapes', () => {
    const { bar, stderr } = setUp();
    const evil = { file: 'a\u001b[2Jb\u202ec\nd\u009b', url: target.url };
    bar.begin(evil);
    bar.tick();
    bar.failed(evil, retryIn4s.error);
    expect(stderr.text.replaceAll('\r\u001b[K', '')).not.to.match(/[\u001b\u202e\u009b]/);
    expect(stderr.text).to.contain('a\\u001b[2Jb\\u202ec\\u000ad\\u009b: the connection');
    expect(stderr.text.match(/\n/g)).to.have.length(1);
  });
});
