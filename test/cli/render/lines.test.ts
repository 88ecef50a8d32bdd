import { expect } from 'chai';
import { LineReporter } from '../../../src/cli/render/lines.js';
import { Reporter } from '../../../src/cli/render/reporter.js';
import { Capture } from '../capture.js';
import { handClock, progressAt, result, retryIn4s, target } from './fixtures.js';

describe('the progress in a pipe', () => {
  it('has a line for each event, and one when time has passed', () => {
    const stderr = new Capture();
    const clock = handClock();
    const lines = new LineReporter(stderr, { isDetailed: true, now: clock.now });
    lines.begin(target);
    lines.resumed(target, { id: '0190', progress: undefined });
    lines.state(target, 'fragment');
    lines.progress(target, progressAt(16));
    lines.progress(target, progressAt(32));
    lines.tick();
    lines.retry(target, retryIn4s);
    lines.state(target, 'await-reply');
    lines.state(target, 'get-reply');
    lines.done(target, result);
    expect(stderr.lines).to.deep.equal([
      'dir/dump.zip: uploading to http://bits.example/in/dump.zip',
      'dir/dump.zip: resuming upload 0190',
      'dir/dump.zip: 50 %, 32.0 MiB of 64.0 MiB, 8.0 MiB/s, 0:04 left',
      'dir/dump.zip: retry 2 in 4.0 s: the connection was reset',
      'dir/dump.zip: uploaded; waiting for the application of the server',
      'dir/dump.zip: uploaded; downloading the reply',
      'dir/dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)',
    ]);
  });

  it('says of a single file that it was skipped, which no other line does', () => {
    const stderr = new Capture();
    const lines = new LineReporter(stderr, { isDetailed: false, now: handClock().now });
    const none = { succeeded: 0, failed: 0, unfinished: 0, bytes: 0, bytesSent: 0, durationMs: 0 };
    lines.summary({ ...none, files: 1, skipped: 0 });
    expect(stderr.lines).to.deep.equal([]);
    lines.summary({ ...none, files: 1, skipped: 1 });
    expect(stderr.lines).to.deep.equal(['0 of 1 files stored, 1 skipped: 0 B sent in 0.0 s']);
  });

  it('has one line for a retry, and fewer lines the longer nothing happens', () => {
    const stderr = new Capture();
    const clock = handClock();
    const lines = new LineReporter(stderr, { isDetailed: true, now: clock.now });
    lines.begin(target);
    lines.state(target, 'fragment');
    lines.progress(target, progressAt(16));
    const linesOf = (ticks: number) => {
      const before = stderr.lines.length;
      for (let tick = 0; tick < ticks; tick++) {
        clock.advance(5000);
        lines.tick();
      }
      return stderr.lines.slice(before).map((line) => line.split(', ').at(-1));
    };
    expect(linesOf(20)).to.deep.equal([
      'no progress for 5 s',
      'no progress for 10 s',
      'no progress for 20 s',
      'no progress for 40 s',
      'no progress for 80 s',
    ]);
    lines.retry(target, retryIn4s);
    expect(linesOf(20)).to.deep.equal([]);
    lines.progress(target, progressAt(17));
    lines.tick();
    expect(stderr.lines.at(-1)).to.contain('17.0 MiB of 64.0 MiB, 8.0 MiB/s');
  });

  it('names only the first files of many that were not begun', () => {
    const stderr = new Capture();
    const failure = { code: 'BITS_ERR_AUTH', message: 'not begun', retryable: false } as const;
    const files = Array.from({ length: 12 }, (_, index) => `f${index}`);
    new Reporter(stderr).skipped(
      files.map((file) => ({ target: { file, url: 'http://h/' }, failure })),
    );
    const names = files.slice(0, 10).join(', ');
    expect(stderr.text).to.equal(`bits-upload: not begun: ${names} and 2 more\n`);
  });

  it('has only warnings and errors with --quiet', () => {
    const stderr = new Capture();
    const quiet = new Reporter(stderr);
    quiet.begin(target);
    quiet.resumed(target, { id: '0190', progress: undefined });
    quiet.state(target, 'fragment');
    quiet.progress(target, progressAt(16));
    quiet.retry(target, retryIn4s);
    quiet.tick();
    quiet.done(target, result);
    expect(stderr.text).to.equal('');
    quiet.warning({ code: 'w', message: 'something odd' });
    quiet.failed(target, retryIn4s.error);
    expect(stderr.lines).to.have.length(2);
  });
});
