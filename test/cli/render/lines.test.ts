import { expect } from 'chai';
import { LineReporter } from '../../../src/cli/render/lines.js';
import { QuietReporter } from '../../../src/cli/render/quiet.js';
import { Capture } from '../capture.js';
import { handClock, progressAt, result, retryIn4s, target } from './fixtures.js';

describe('progress in a pipe', () => {
  it('says what matters, and where it is when time has passed', () => {
    const stderr = new Capture();
    const clock = handClock();
    const lines = new LineReporter(stderr, clock.now);
    lines.begin(target);
    lines.resumed(target, { id: '0190', progress: undefined });
    lines.state('fragment');
    lines.progress(progressAt(16));
    lines.progress(progressAt(32));
    lines.tick();
    lines.retry(retryIn4s);
    lines.state('await-reply');
    lines.state('get-reply');
    lines.done(target, result);
    expect(stderr.lines).to.deep.equal([
      'dir/dump.zip: uploading to http://bits.example/in/dump.zip',
      'dir/dump.zip: resuming upload 0190',
      'dir/dump.zip: 50 %, 32.0 MiB of 64.0 MiB, 8.0 MiB/s, 0:04 left',
      'dir/dump.zip: retry 2 in 4.0 s: the connection was reset',
      "dir/dump.zip: uploaded; waiting for the server's application",
      'dir/dump.zip: uploaded; downloading the reply',
      'dir/dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)',
    ]);
  });

  it('keeps quiet but for warnings and errors when asked to', () => {
    const stderr = new Capture();
    const quiet = new QuietReporter(stderr);
    quiet.begin();
    quiet.resumed();
    quiet.state();
    quiet.progress();
    quiet.retry();
    quiet.tick();
    quiet.done();
    expect(stderr.text).to.equal('');
    quiet.warning({ code: 'w', message: 'something odd' });
    quiet.failed(target, retryIn4s.error);
    expect(stderr.lines).to.have.length(2);
  });
});
