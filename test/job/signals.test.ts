import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import type { UploadOptions } from '../../src/job/options.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { errorOf } from '../source/reading.js';
import { patterned } from '../support/files.js';

const KIB = 1024;

describe('the signal', () => {
  let server: BitsServer;

  beforeEach(async () => {
    server = await createBitsServer({
      faults: [{ on: 'fragment', nth: 2, times: Number.POSITIVE_INFINITY, do: 'hang' }],
    });
  });

  afterEach(async () => {
    await server.close();
    server.assertNoViolations();
  });

  const jobOf = (options: Partial<UploadOptions> = {}) =>
    new UploadJob({
      url: new URL('file.bin', server.url),
      source: patterned(100 * KIB),
      fragmentBytes: 16 * KIB,
      retry: { minDelayMs: 0 },
      ...options,
    });
  const listeners = ({ signal }: AbortController) => getEventListeners(signal, 'abort').length;

  describe('of resume()', () => {
    it('stops the run that follows one that was still being aborted', async () => {
      const [first, second] = [new AbortController(), new AbortController()];
      const job = jobOf({ signal: first.signal });
      const ended = errorOf(job.start());
      await server.waitForRequest('fragment', 2);
      first.abort('first');
      const resumed = errorOf(job.resume({ signal: second.signal }));
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED', cause: 'first' });
      await server.waitForRequest('fragment', 3);
      second.abort('second');
      expect(await resumed).to.include({ code: 'BITS_ERR_ABORTED', cause: 'second' });
      expect(job.state).to.equal('suspended');
    });

    it('stops the run that follows one that was still being suspended', async () => {
      const [first, second] = [new AbortController(), new AbortController()];
      const job = jobOf({ signal: first.signal });
      const ended = errorOf(job.start());
      await server.waitForRequest('fragment', 2);
      const suspended = job.suspend();
      const resumed = errorOf(job.resume({ signal: second.signal }));
      await suspended;
      await server.waitForRequest('fragment', 3);
      first.abort('first');
      second.abort('second');
      expect(await resumed).to.include({ code: 'BITS_ERR_ABORTED', cause: 'second' });
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED', cause: 'second' });
    });

    it('stops it, too, when it aborts before the run begins', async () => {
      const [first, second] = [new AbortController(), new AbortController()];
      const job = jobOf({ signal: first.signal });
      const ended = errorOf(job.start());
      await server.waitForRequest('fragment', 2);
      first.abort('first');
      const resumed = errorOf(job.resume({ signal: second.signal }));
      second.abort('second');
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED', cause: 'first' });
      expect(await resumed).to.include({ code: 'BITS_ERR_ABORTED', cause: 'second' });
    });

    it('changes nothing when the resume is refused: that of the constructor stops the job', async () => {
      const [first, refused] = [new AbortController(), new AbortController()];
      const job = jobOf({ signal: first.signal });
      const ended = errorOf(job.start());
      await server.waitForRequest('fragment', 2);
      const error = await errorOf(job.resume({ signal: refused.signal }));
      expect(error).to.include({ code: 'BITS_ERR_STATE' });
      expect(listeners(refused)).to.equal(0);
      refused.abort('refused');
      first.abort('first');
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED', cause: 'first' });
    });

    it('is listened to no more after the end, not even when a resume is refused', async () => {
      const [first, refused] = [new AbortController(), new AbortController()];
      const job = jobOf({ source: patterned(10 * KIB), signal: first.signal });
      await job.start();
      await errorOf(job.resume());
      await errorOf(job.resume({ signal: refused.signal }));
      expect([first, refused].map(listeners)).to.deep.equal([0, 0]);
    });
  });

  describe('of the constructor', () => {
    it('is not listened to once a job that never started is cancelled', async () => {
      const controller = new AbortController();
      const job = jobOf({ signal: controller.signal });
      await job.cancel();
      expect(job.state).to.equal('cancelled');
      expect(listeners(controller)).to.equal(0);
    });
  });

  describe('of cancel()', () => {
    it('ends the cancel at once when it has aborted before, and the job fails once', async () => {
      const job = jobOf();
      const failures: BitsError[] = [];
      job.on('failed', (error) => failures.push(error));
      const ended = errorOf(job.start());
      await server.waitForRequest('fragment', 2);
      await job.suspend();
      await job.cancel({ signal: AbortSignal.abort() });
      expect(job.state).to.equal('cancelled');
      expect(server.log.map(({ packet }) => packet)).to.not.include('cancel-session');
      const error = await ended;
      expect(error).to.be.instanceOf(BitsError).and.include({ code: 'BITS_ERR_ABORTED' });
      expect((error as BitsError).message)
        .to.include('was cancelled')
        .and.include('did not confirm');
      expect(failures).to.deep.equal([error]);
      await job.cancel();
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    });
  });
});
