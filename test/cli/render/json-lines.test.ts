import { expect } from 'chai';
import { failureOf } from '../../../src/cli/failure.js';
import { JsonLinesReporter } from '../../../src/cli/render/json-lines.js';
import { BitsServerError } from '../../../src/index.js';
import { Capture } from '../capture.js';
import { progressAt, result, retryIn4s, target } from './fixtures.js';

function setUp(quiet = false) {
  const stdout = new Capture();
  const stderr = new Capture();
  const reporter = new JsonLinesReporter(stdout, stderr, quiet);
  const objects = (): unknown[] => stdout.lines.map((line) => JSON.parse(line));
  return { stdout, stderr, reporter, objects };
}

const refusal = failureOf(
  new BitsServerError('refused', {
    status: 403,
    hresult: 0x80070005,
    hresultName: 'E_ACCESSDENIED',
    context: 5,
  }),
);

describe('the output of --json', () => {
  it('has one object a line, with the types and fields that scripts rely on', () => {
    const { reporter, objects } = setUp();
    const { file, url } = target;
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    reporter.retry(target, retryIn4s);
    reporter.warning({ code: 'session-restarted', message: 'from byte 0' }, target);
    reporter.failed(target, refusal);
    reporter.done(target, result);
    expect(objects()).to.deep.equal([
      { type: 'state', file, state: 'fragment' },
      {
        type: 'progress',
        file,
        phase: 'upload',
        bytesSent: 33_554_432,
        bytesAcknowledged: 33_554_432,
        bytesTotal: 67_108_864,
        bytesPerSecond: 8_388_608,
        etaMs: 4000,
        replyBytes: 0,
      },
      {
        type: 'retry',
        file,
        attempt: 2,
        delayMs: 4000,
        code: 'BITS_ERR_TRANSPORT',
        message: 'the connection was reset',
        retryable: true,
      },
      { type: 'warning', file, code: 'session-restarted', message: 'from byte 0' },
      {
        type: 'error',
        file,
        url,
        code: 'BITS_ERR_SERVER',
        message: 'refused',
        retryable: false,
        status: 403,
        hresult: 0x80070005,
        hresultName: 'E_ACCESSDENIED',
        context: 5,
      },
      {
        type: 'result',
        file,
        url,
        id: result.id,
        bytes: 67_108_864,
        bytesSent: 67_108_864,
        durationMs: 3200,
        resumed: false,
        closed: 'acknowledged',
      },
    ]);
  });

  it('reports a resumed upload, and how to resume a failed one', () => {
    const { reporter, stderr, objects } = setUp();
    const { file, url } = target;
    const { id } = result;
    reporter.begin(target);
    reporter.resumed(target, { id, progress: progressAt(32) });
    reporter.state(target, 'ping');
    const resumeCommand = `bits-upload resume ${id}`;
    reporter.failed(target, {
      ...retryIn4s.error,
      message: 'm',
      id,
      resumable: true,
      resumeCommand,
    });
    reporter.begin(target);
    reporter.state(target, 'create-session');
    expect(objects()).to.deep.equal([
      { type: 'state', file, state: 'ping', id, resumed: true },
      {
        type: 'error',
        file,
        url,
        code: 'BITS_ERR_TRANSPORT',
        message: 'm',
        retryable: true,
        id,
        resumable: true,
        resumeCommand,
      },
      { type: 'state', file, state: 'create-session' },
    ]);
    expect(stderr.lines).to.deep.equal([
      `dir/dump.zip: resuming upload ${id}: 32.0 MiB of 64.0 MiB are on the server`,
      'bits-upload: dir/dump.zip: m',
      `bits-upload: to resume it: bits-upload resume ${id}`,
    ]);
  });

  it('names the file of the reply', () => {
    const { reporter, objects } = setUp();
    const withReply = { ...result, reply: { bytes: 7, file: 'answer.xml' } };
    reporter.done(target, withReply);
    expect(objects()[0]).to.include({ replyFile: 'answer.xml', replyBytes: 7 });
  });

  it('stays one object a line, in printable characters, for any file name', () => {
    const { reporter, stdout, objects } = setUp();
    const file = 'a\nb"c\u2028\u009b31m\u202egnp\u200f\u2066';
    reporter.failed({ file, url: null }, refusal);
    expect(stdout.text).to.match(/^[\x20-\x7e]*\n$/);
    expect(objects()[0]).to.include({ file, url: null });
  });

  it('has only warnings, results and errors with --quiet', () => {
    const { reporter, objects } = setUp(true);
    reporter.begin(target);
    reporter.state(target, 'fragment');
    reporter.progress(target, progressAt(32));
    reporter.retry(target, retryIn4s);
    expect(objects()).to.be.empty;
    reporter.warning({ code: 'w', message: 'm' });
    reporter.done(target, result);
    expect(objects()).to.have.length(2);
  });

  it('leaves errors on standard error, too', () => {
    const { reporter, stderr } = setUp();
    reporter.failed(target, refusal);
    expect(stderr.lines).to.deep.equal(['bits-upload: dir/dump.zip: refused']);
  });
});
