import { getEventListeners, once } from 'node:events';
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { version as uuidVersion } from 'uuid';
import { BitsError } from '../../src/errors.js';
import type { UploadResult, UploadWarning } from '../../src/job/events.js';
import type { UploadOptions } from '../../src/job/options.js';
import type { UploadProgress } from '../../src/job/progress.js';
import { UploadJob } from '../../src/job/upload-job.js';
import { bytesSource } from '../../src/source/bytes.js';
import type { ByteSource, OpenSource } from '../../src/source/source.js';
import type { BitsServer, BitsServerOptions } from '../../src/testing/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { createUndiciTransport } from '../../src/transport/undici.js';
import { openFilesUnder } from '../source/reading.js';
import { patterned, sha256, temporaryFolder, writePatterned } from '../support/files.js';
import { skipWithoutLinks } from '../support/skip.js';
import { bitsError, gate } from '../transport/support.js';

const KIB = 1024;

describe('UploadJob', () => {
  const folder = temporaryFolder();
  const servers: BitsServer[] = [];
  /** Servers with more faults than their test waits for. */
  const unfinished = new Set<BitsServer>();

  async function serve(options: BitsServerOptions = {}): Promise<BitsServer> {
    const server = await createBitsServer(options);
    servers.push(server);
    return server;
  }

  afterEach(async () => {
    const used = servers.splice(0);
    await Promise.all(used.map((server) => server.close()));
    for (const server of used) server.assertNoViolations();
    for (const server of used) if (!unfinished.has(server)) server.assertFaultsConsumed();
  });

  function jobTo(server: BitsServer, options: Partial<UploadOptions> = {}): UploadJob {
    return new UploadJob({
      url: new URL('file.bin', server.url),
      source: patterned(100 * KIB),
      fragmentBytes: 16 * KIB,
      ...options,
      retry: { minDelayMs: 0, ...options.retry },
      timeouts: { answerMs: 5000, ...options.timeouts },
    });
  }

  const uploaded = (server: BitsServer, name = 'file.bin') => readFile(join(server.root, name));
  const packets = (server: BitsServer) => server.log.map(({ packet }) => packet);

  describe('what arrives', () => {
    for (const bytes of [0, 1, 5119, 5 * KIB * KIB + 3]) {
      it(`is exact for ${bytes} bytes`, async () => {
        const server = await serve();
        const path = join(folder(), `size-${bytes}.bin`);
        const content = await writePatterned(path, bytes);
        const result = await jobTo(server, { source: path }).start();
        expect(sha256(await uploaded(server))).to.equal(sha256(content));
        expect(result).to.include({ bytes, bytesSent: bytes, closed: 'acknowledged' });
        expect(result.resumed).to.equal(false);
      });
    }

    it('is exact from bytes, a Blob and a stream', async () => {
      const server = await serve({ allowOverwrite: true });
      const content = patterned(100 * KIB);
      for (const source of [content, new Blob([content]), Readable.from([content])]) {
        await jobTo(server, { source }).start();
        expect(sha256(await uploaded(server))).to.equal(sha256(content));
      }
    });

    it('is told while a stream is stored, before anything is sent', async () => {
      const server = await serve();
      const isTold = gate();
      async function* slowly() {
        yield patterned(3000);
        await isTold.promise;
        yield patterned(2000);
      }
      const job = jobTo(server, { source: slowly() });
      const told: UploadProgress[] = [];
      job.on('progress', (progress) => {
        told.push(progress);
        isTold.open();
      });
      const { bytes } = await job.start();
      expect(bytes).to.equal(5000);
      const [first] = told;
      expect(first).to.include({ phase: 'spool', bytesSent: 0, bytesTotal: 3000 });
      expect(told.at(-1)).to.include({ phase: 'upload', bytesSent: 5000, bytesTotal: 5000 });
    });

    it('is not sent of a stream that is longer than spoolMaxBytes, which the error names', async () => {
      const server = await serve();
      const job = jobTo(server, { source: Readable.from([patterned(10)]), spoolMaxBytes: 9 });
      expect((await bitsError(job.start())).message).to.include('longer than spoolMaxBytes (9)');
      expect(server.connections).to.equal(0);
    });

    it('has the name of the file where the URL ends in a slash', async () => {
      const server = await serve();
      const path = join(folder(), 'Größe #1 100%.bin');
      await writeFile(path, 'x');
      const { url } = await new UploadJob({ url: server.url, source: path }).start();
      expect(await readdir(server.root)).to.include('Größe #1 100%.bin');
      expect(url).to.equal(`${server.url}${encodeURIComponent('Größe #1 100%.bin')}`);
    });

    it('travels over one connection, however many fragments', async () => {
      const server = await serve();
      await jobTo(server, { source: patterned(100 * 5 * KIB), fragmentBytes: 5 * KIB }).start();
      expect(packets(server).filter((kind) => kind === 'fragment')).to.have.lengthOf(100);
      expect(server.connections).to.equal(1);
    });
  });

  describe('stopped and suspended at once', () => {
    for (const [stop, state] of [
      ['abort', 'suspended'],
      ['cancel', 'cancelled'],
    ] as const) {
      it(`ends by ${stop}`, async () => {
        const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
        const controller = new AbortController();
        const job = jobTo(server, { signal: controller.signal });
        const result = job.start();
        await server.waitForRequest('fragment', 2);
        if (stop === 'abort') controller.abort();
        else void job.cancel();
        await job.suspend();
        expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
        expect(job.state).to.equal(state);
      });
    }

    it('frees the session when it is cancelled after an abort', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal });
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      controller.abort();
      await bitsError(result);
      await job.cancel();
      expect(packets(server).at(-1)).to.equal('cancel-session');
      expect(job.state).to.equal('cancelled');
    });

    it('frees the session when it is cancelled and aborted in one breath', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal });
      const ended = bitsError(job.start());
      await server.waitForRequest('fragment', 2);
      const cancelled = job.cancel();
      controller.abort();
      await cancelled;
      expect(packets(server).at(-1)).to.equal('cancel-session');
      expect(await ended).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(job.state).to.equal('cancelled');
    });

    it('waits but a moment for the answer to its Cancel when it is aborted with it', async () => {
      const server = await serve({
        faults: [
          { on: 'fragment', nth: 2, do: 'hang' },
          { on: 'cancel-session', do: 'hang' },
        ],
      });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal, timeouts: { answerMs: 60_000 } });
      const ended = bitsError(job.start());
      await server.waitForRequest('fragment', 2);
      void job.cancel();
      controller.abort();
      expect((await ended).message).to.include('did not confirm');
    });

    it('cancels what was left when it is cancelled just as it ends in another way', async () => {
      const server = await serve({ faults: [{ on: 'fragment', do: { status: 403 } }] });
      const job = jobTo(server);
      const cancelled = new Promise<void>((resolve) => {
        job.on('state', (state) => state === 'error' && resolve(job.cancel()));
      });
      await bitsError(job.start());
      await cancelled;
      expect(job.state).to.equal('cancelled');
      expect(packets(server).at(-1)).to.equal('cancel-session');
    });

    it('settles every suspend and resume, however close they come', async () => {
      const server = await serve();
      const job = jobTo(server);
      const calls = [job.suspend(), job.resume()];
      job.on('state', (state) => state === 'suspended' && calls.push(job.resume()));
      await Promise.all([job.result, ...calls]);
      expect(job.state).to.equal('completed');
    });

    it('is not resumed by a signal that was aborted before', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const job = jobTo(server);
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      await job.suspend();
      void job.resume({ signal: AbortSignal.abort() }).catch(() => {});
      expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
    });

    it('waits no longer for the answer to its Cancel when it is aborted then', async () => {
      const server = await serve({ faults: [{ on: 'cancel-session', do: 'hang' }] });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal, timeouts: { answerMs: 60_000 } });
      const ended = bitsError(job.start());
      await once(job, 'progress');
      const cancelled = job.cancel();
      await server.waitForRequest('cancel-session', 1);
      controller.abort();
      await cancelled;
      expect((await ended).message).to.include('did not confirm');
    });

    it('cannot be resumed while it is being cancelled', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const job = jobTo(server);
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      await job.suspend();
      void job.cancel();
      expect(await bitsError(job.resume())).to.include({ code: 'BITS_ERR_STATE' });
      expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
    });
  });

  describe('starts', () => {
    it('by iterating progress, and not again by start', async () => {
      const server = await serve({ allowOverwrite: true });
      const job = jobTo(server);
      const last: UploadProgress[] = [];
      for await (const progress of job.progress) last[0] = progress;
      const results = await Promise.all([job.result, job.start(), job.result]);
      expect(new Set(results).size).to.equal(1);
      expect(last[0]).to.include({ bytesSent: 100 * KIB, bytesTotal: 100 * KIB, phase: 'upload' });
      expect(packets(server).filter((kind) => kind === 'create-session')).to.have.lengthOf(1);
    });

    it('late enough for listeners added after the call', async () => {
      const server = await serve();
      const job = jobTo(server);
      const result = job.start();
      const states: string[] = [];
      job.on('state', (state) => states.push(state));
      await result;
      expect(states).to.deep.equal(['create-session', 'fragment', 'close-session', 'completed']);
    });

    it('with an id that sorts by time', () => {
      const job = new UploadJob({ url: 'http://localhost/x', source: new Uint8Array(1) });
      expect(uuidVersion(job.id)).to.equal(7);
    });
  });

  describe('suspend and resume', () => {
    it('go on where the server stands, after a Ping', async () => {
      const server = await serve();
      const job = jobTo(server);
      const result = job.start();
      await once(job, 'progress');
      await job.suspend();
      expect(job.state).to.equal('suspended');
      void job.resume();
      await result;
      const afterPing = packets(server).slice(packets(server).indexOf('ping') + 1);
      expect(afterPing.slice(-2)).to.deep.equal(['fragment', 'close-session']);
      expect(packets(server).filter((kind) => kind === 'create-session')).to.have.lengthOf(1);
      expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
    });

    it('say that a resume was refused because of a later suspend', async () => {
      const job = jobTo(await serve());
      void job.start();
      await once(job, 'progress');
      void job.suspend();
      const refused = bitsError(job.resume());
      await job.suspend();
      expect(await refused).to.include({
        code: 'BITS_ERR_STATE',
        message: 'The job cannot be resumed: another call stops it.',
      });
      await job.resume();
    });

    it('cut a request that hangs', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const job = jobTo(server);
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      await job.suspend();
      await job.resume();
      await result;
      expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
    });

    it('lose nothing of a stream that is just being stored', async () => {
      const server = await serve();
      const content = patterned(5000);
      const isStuck = gate();
      const isResumed = gate();
      async function* stuck() {
        yield content.subarray(0, 3000);
        isStuck.open();
        await isResumed.promise;
        yield content.subarray(3000);
      }
      const job = jobTo(server, { source: stuck() });
      const result = job.start();
      await isStuck.promise;
      await job.suspend();
      void job.resume();
      isResumed.open();
      expect((await result).bytes).to.equal(5000);
      expect(sha256(await uploaded(server))).to.equal(sha256(content));
    });

    it('are refused after the end', async () => {
      const server = await serve();
      const job = jobTo(server);
      await job.start();
      expect(await bitsError(job.suspend())).to.include({ code: 'BITS_ERR_STATE' });
      expect(await bitsError(job.resume())).to.include({ code: 'BITS_ERR_STATE' });
    });
  });

  describe('abort', () => {
    it('rejects at once and leaves a session that resume finishes', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal });
      const result = job.start();
      await server.waitForRequest('fragment', 3);
      controller.abort(new Error('the laptop closes'));
      const error = await bitsError(result);
      expect(error).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(error.cause).to.include({ message: 'the laptop closes' });
      expect(packets(server)).to.not.include('cancel-session');
      const resumed = await job.resume();
      expect(resumed.resumed).to.equal(true);
      expect(resumed.bytesSent).to.be.lessThan(100 * KIB);
      expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
    });

    it('of many jobs with one signal is no leak, and leaves no listener', async () => {
      const server = await serve({ allowOverwrite: true });
      const warnings: Error[] = [];
      const onWarning = (warning: Error) => warnings.push(warning);
      process.on('warning', onWarning);
      const { signal } = new AbortController();
      const jobs = Array.from({ length: 12 }, (_, index) =>
        jobTo(server, { signal, url: new URL(`${index}.bin`, server.url) }),
      );
      await Promise.all(jobs.map((job) => job.start()));
      await new Promise((resolve) => setImmediate(resolve));
      process.off('warning', onWarning);
      expect(warnings).to.deep.equal([]);
      expect(getEventListeners(signal, 'abort')).to.have.lengthOf(0);
    });

    it('before the start sends nothing', async () => {
      const server = await serve();
      const job = jobTo(server, { signal: AbortSignal.abort() });
      expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(server.log).to.have.lengthOf(0);
    });

    it('ends a back-off', async () => {
      const server = await serve({ faults: [{ on: 'fragment', do: { status: 503 } }] });
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal, retry: { minDelayMs: 600_000 } });
      const result = job.start();
      await once(job, 'retry');
      controller.abort();
      expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
    });

    it('rejects a suspended job', async () => {
      const server = await serve();
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal });
      const result = job.start();
      await once(job, 'progress');
      await job.suspend();
      controller.abort();
      expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
    });
  });

  describe('cancel', () => {
    it('frees the session on the server', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const job = jobTo(server);
      const result = job.start();
      await server.waitForRequest('fragment', 2);
      await job.cancel();
      expect(await bitsError(result)).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(job.state).to.equal('cancelled');
      expect(packets(server).at(-1)).to.equal('cancel-session');
    });

    it('works on a suspended job and on one that failed', async () => {
      const server = await serve({
        faults: [{ on: 'fragment', nth: 1, do: { status: 403, hresult: 0x80070005 } }],
      });
      const failed = jobTo(server);
      expect(await bitsError(failed.start())).to.include({ code: 'BITS_ERR_SERVER', status: 403 });
      await failed.cancel();
      expect(failed.state).to.equal('cancelled');
      const suspended = jobTo(server);
      void suspended.start();
      await once(suspended, 'progress');
      await suspended.suspend();
      await suspended.cancel();
      expect(suspended.state).to.equal('cancelled');
      expect(packets(server).filter((kind) => kind === 'cancel-session')).to.have.lengthOf(2);
    });

    it('before the start sends nothing', async () => {
      const server = await serve();
      const job = jobTo(server);
      await job.cancel();
      expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(server.log).to.have.lengthOf(0);
    });

    it('before the start destroys a stream, which nobody will read', async () => {
      const server = await serve();
      const stream = Readable.from([patterned(10)]);
      await jobTo(server, { source: stream }).cancel();
      expect(stream.destroyed).to.equal(true);
    });

    it('warns when the server does not confirm', async () => {
      const server = await serve({ faults: [{ on: 'cancel-session', do: { status: 400 } }] });
      const job = jobTo(server);
      const warnings: UploadWarning[] = [];
      job.on('warning', (warning) => warnings.push(warning));
      void job.start();
      await once(job, 'progress');
      await job.cancel();
      expect(warnings.map(({ code }) => code)).to.deep.equal(['session-not-freed']);
    });
  });

  it('refuses a reply that would replace the file, by whatever path', async function () {
    skipWithoutLinks(this);
    const server = await serve({ allowOverwrite: true });
    const path = join(folder(), 'order.xml');
    await writePatterned(path, 100);
    await symlink(folder(), join(folder(), 'alias'), 'junction');
    for (const file of [path, join(folder(), 'alias', 'order.xml')]) {
      const job = jobTo(server, { source: path, reply: { to: file, overwrite: true } });
      expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_ARGUMENT' });
    }
    expect(server.log).to.have.lengthOf(0);
  });

  describe('complete', () => {
    it('is refused while bytes are unacknowledged, and sends nothing', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const job = jobTo(server);
      void job.start();
      await server.waitForRequest('fragment', 2);
      const error = await bitsError(job.complete());
      expect(error).to.include({ code: 'BITS_ERR_STATE' });
      expect(error.message).to.match(/acknowledged 16384 of 102400/);
      await job.cancel();
      expect(packets(server)).to.not.include('close-session');
    });
  });

  describe('failures', () => {
    it('that may pass are told and retried', async () => {
      const server = await serve({
        faults: [
          { on: 'create-session', do: { status: 503, headers: { 'Retry-After': '0' } } },
          { on: 'fragment', nth: 2, do: { status: 503, afterCommit: true } },
          { on: 'fragment', nth: 5, do: { status: 504 } },
          { on: 'close-session', do: { status: 502 } },
        ],
      });
      const job = jobTo(server);
      const attempts: number[] = [];
      job.on('retry', ({ attempt }) => attempts.push(attempt));
      await job.start();
      expect(attempts).to.deep.equal([1, 1, 1, 1]);
      expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
    });

    it('of a connection that was used before cost no retry', async () => {
      const server = await serve({
        faults: [
          { on: 'fragment', nth: 2, do: 'reset-after-commit' },
          { on: 'close-session', do: 'reset-before' },
        ],
      });
      const job = jobTo(server);
      let retries = 0;
      job.on('retry', () => retries++);
      await job.start();
      expect(retries).to.equal(0);
      expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
    });

    it('end the job after the retries, with a session that resume finishes', async () => {
      const server = await serve({
        faults: [{ on: 'fragment', nth: 3, times: 3, do: { status: 503 } }],
      });
      const job = jobTo(server, { retry: { limit: 2 } });
      const error = await bitsError(job.start());
      expect(error).to.include({ code: 'BITS_ERR_SERVER', retryable: true, status: 503 });
      expect(job.state).to.equal('error');
      expect((await job.resume()).resumed).to.equal(true);
    });

    it('leave what was read of a stream for resume, until the job has ended for good', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 3, do: { status: 503 } }] });
      const spooled = async () =>
        (await openFilesUnder(tmpdir()))?.filter((path) => path.includes('.spool')).length ?? 0;
      const before = await spooled();
      const content = patterned(100 * KIB);
      const job = jobTo(server, { source: Readable.from([content]), retry: { limit: 0 } });
      expect(await bitsError(job.start())).to.include({ status: 503 });
      expect((await job.resume()).resumed).to.equal(true);
      expect(sha256(await uploaded(server))).to.equal(sha256(content));
      expect(await spooled()).to.equal(before);
    });

    it('may be resumed by the very listener that hears of them, any number of times', async () => {
      const server = await serve({
        faults: [1, 3].map((nth) => ({ on: 'fragment', nth, do: { status: 403 } }) as const),
      });
      const job = jobTo(server);
      const resumed: Promise<UploadResult>[] = [];
      const done = once(job, 'done');
      job.on('failed', () => {
        resumed.push(job.resume());
        resumed.at(-1)?.catch(() => {});
      });
      expect(await bitsError(job.start())).to.include({ status: 403 });
      const [result] = await done;
      expect(result.bytes).to.equal(100 * KIB);
      expect(resumed).to.have.lengthOf(2);
      expect(await resumed[1]).to.equal(result);
      expect((await uploaded(server)).equals(patterned(100 * KIB))).to.equal(true);
    });

    it('that a listener resumes from for ever leave timers and signals their turn', async () => {
      const server = await serve();
      let failing = false;
      const inner = createUndiciTransport();
      const job = jobTo(server, {
        transport: {
          limitations: [],
          close: () => inner.close(),
          send: (request, options) => {
            if (failing) throw new BitsError('BITS_ERR_TRANSPORT', 'no network at all');
            return inner.send(request, options);
          },
        },
      });
      job.once('progress', () => {
        failing = true;
      });
      let resumed = 0;
      const most = 100_000;
      job.on('state', (state) => {
        if (state !== 'error' || resumed === most) return;
        resumed++;
        job.resume().catch(() => {});
      });
      const result = bitsError(job.start());
      while (resumed === 0) await delay(10);
      expect(resumed).to.be.below(most);
      await job.cancel();
      expect(await result).to.be.instanceOf(BitsError);
      failing = false;
      await job.cancel();
      await inner.close();
    });

    it('may be resumed from a little later as well, while the job is coming to its end', async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 403 } }] });
      const closing = gate();
      const source: ByteSource = {
        name: 'file.bin',
        open: async () => {
          const opened = await bytesSource(patterned(100 * KIB)).open();
          return {
            byteLength: opened.byteLength,
            read: (start, end) => opened.read(start, end),
            verify: () => opened.verify(),
            close: () => closing.promise,
          };
        },
      };
      const job = jobTo(server, { source });
      const failed = bitsError(job.start());
      while (job.state !== 'error') await once(job, 'state');
      await new Promise((resolve) => setImmediate(resolve));
      const resumed = job.resume();
      closing.open();
      expect(await failed).to.include({ code: 'BITS_ERR_SERVER' });
      expect((await resumed).bytes).to.equal(100 * KIB);
    });

    const refusedOnce = () => serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 403 } }] });
    const turns = async (count: number) => {
      for (let i = 0; i < count; i++) await Promise.resolve();
    };
    const stops = {
      cancel: (job: UploadJob) => job.cancel(),
      suspend: (job: UploadJob) => job.suspend(),
      abort: async (_job: UploadJob, controller: AbortController) => controller.abort(),
    };
    const ends = { cancel: 'cancelled', suspend: 'suspended', abort: 'suspended' } as const;

    for (const stop of ['cancel', 'suspend', 'abort'] as const) {
      for (const when of ['is coming to its end', 'goes on in the next turn'] as const) {
        it(`may be resumed from while the job ${when}, and ${stop} then counts`, async () => {
          const server = await refusedOnce();
          const closing = gate();
          const controller = new AbortController();
          const isEnding = when === 'is coming to its end';
          const source: ByteSource = {
            name: 'file.bin',
            open: async () => {
              const opened = await bytesSource(patterned(100 * KIB)).open();
              const read: OpenSource['read'] = (start, end) => opened.read(start, end);
              const close = async () => {
                if (isEnding) await closing.promise;
              };
              return { byteLength: opened.byteLength, read, verify: async () => {}, close };
            },
          };
          const job = jobTo(server, { source, signal: controller.signal });
          const first = job.start();
          first.catch(() => {});
          let resumed: Promise<UploadResult> | undefined;
          if (isEnding) {
            while (job.state !== 'error') await once(job, 'state');
            await new Promise((resolve) => setImmediate(resolve));
            resumed = job.resume();
          } else {
            const heard = gate();
            job.on('state', (state) => {
              if (state !== 'error' || resumed !== undefined) return;
              resumed = job.resume();
              heard.open();
            });
            await heard.promise;
            await turns(3);
          }
          resumed?.catch(() => {});
          const stopped = stops[stop](job, controller);
          closing.open();
          await stopped;
          if (stop !== 'suspend')
            expect(await bitsError(resumed!)).to.include({ code: 'BITS_ERR_ABORTED' });
          expect(job.state).to.equal(ends[stop]);
          expect(server.log.filter(({ packet }) => packet === 'fragment')).to.have.lengthOf(2);
          if (stop === 'cancel') return;
          expect((await job.resume()).bytes).to.equal(100 * KIB);
        });
      }
    }

    it('to free the session of a changed file after a Close presume no file, when cut short', async () => {
      const path = join(folder(), 'closing.bin');
      await writePatterned(path, 100 * KIB);
      const server = await serve({ faults: [{ on: 'close-session', do: 'hang' }] });
      const controller = new AbortController();
      const job = jobTo(server, { source: path, signal: controller.signal });
      const first = bitsError(job.start());
      await server.waitForRequest('close-session');
      controller.abort();
      await first;
      await writeFile(path, 'another content');
      server.addFault({ on: 'cancel-session', do: 'hang-after-commit' });
      const resumed = bitsError(job.resume());
      await server.waitForRequest('cancel-session');
      await job.cancel();
      expect(await resumed).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(job.state).to.equal('cancelled');
    });

    it('of a Cancel-Session, aborted while they are waited out, are an abort like any other', async () => {
      const server = await serve({
        faults: [
          { on: 'fragment', nth: 2, do: 'hang' },
          { on: 'cancel-session', times: 9, do: { status: 503 } },
        ],
      });
      unfinished.add(server);
      const controller = new AbortController();
      const job = jobTo(server, { signal: controller.signal, retry: { minDelayMs: 60_000 } });
      const result = bitsError(job.start());
      await server.waitForRequest('fragment', 2);
      job.once('retry', () => controller.abort());
      await job.cancel();
      expect(await result).to.include({ code: 'BITS_ERR_ABORTED' });
      expect(job.state).to.equal('cancelled');
    });

    it('to open the source again may be resumed so, too, and progress goes on', async () => {
      const server = await serve();
      const controller = new AbortController();
      let openings = 0;
      const job = jobTo(server, {
        signal: controller.signal,
        source: {
          name: 'file.bin',
          async open() {
            if (++openings === 2) throw new Error('the drive is asleep');
            return bytesSource(patterned(100 * KIB)).open();
          },
        },
      });
      job.once('progress', () => controller.abort());
      expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_ABORTED' });
      let resumed: Promise<UploadResult> | undefined;
      job.once('state', () => {
        resumed = job.resume();
      });
      expect(await bitsError(job.resume())).to.include({ code: 'BITS_ERR_SOURCE' });
      const seen: number[] = [];
      for await (const { bytesSent } of job.progress) seen.push(bytesSent);
      expect((await resumed)?.bytes).to.equal(100 * KIB);
      expect(seen.at(-1)).to.equal(100 * KIB);
    });

    it('to free the session of a changed file, cut short by the caller, can be made good', async () => {
      const path = join(folder(), 'changing.bin');
      for (const [how, ends] of [
        ['cancel', 'cancelled'],
        ['resume', 'failed'],
      ] as const) {
        await writePatterned(path, 100 * KIB);
        const server = await serve();
        const controller = new AbortController();
        const job = jobTo(server, { source: path, signal: controller.signal });
        job.once('progress', () => controller.abort());
        await bitsError(job.start());
        await writeFile(path, 'another content');
        server.addFault({ on: 'cancel-session', do: 'hang' });
        const second = new AbortController();
        const stopped = bitsError(job.resume({ signal: second.signal }));
        await server.waitForRequest('cancel-session');
        if (how === 'cancel') await job.cancel();
        else second.abort();
        expect(await stopped).to.include({ code: 'BITS_ERR_ABORTED' });
        if (how === 'resume') {
          expect(await bitsError(job.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
        }
        expect(job.state).to.equal(ends);
        const packets = server.log.map(({ packet }) => packet);
        expect(packets.slice(-2)).to.deep.equal(['cancel-session', 'cancel-session']);
      }
    });

    it("keep a session that a caller's own source gives up when it is opened again", async () => {
      const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 403 } }] });
      let openings = 0;
      const job = jobTo(server, {
        source: {
          name: 'file.bin',
          async open() {
            if (++openings > 1) throw new BitsError('BITS_ERR_SOURCE_CHANGED', 'another tape');
            return bytesSource(patterned(100 * KIB)).open();
          },
        },
      });
      await bitsError(job.start());
      expect(await bitsError(job.resume())).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
      expect(job.state).to.equal('error');
      await job.cancel();
      expect(job.state).to.equal('cancelled');
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
    });

    it('of a reply do not end the job as long as more of it comes each time', async () => {
      const server = await serve({
        reply: () => Buffer.alloc(40_000, 7),
        faults: [{ on: 'reply', times: 3, do: 'reset-mid' }],
      });
      const shouldRetry = async () => {
        await delay(400);
        return true;
      };
      const job = jobTo(server, {
        reply: true,
        timeouts: { noProgressMs: 300 },
        retry: { shouldRetry },
      });
      expect((await job.start()).reply?.bytes).to.equal(40_000);
    });

    it('of a reply are counted anew whenever more of it has come', async () => {
      const server = await serve({
        reply: () => Buffer.alloc(40_000, 7),
        faults: [{ on: 'reply', times: 4, do: 'reset-mid' }],
      });
      const job = jobTo(server, { reply: true, retry: { limit: 1 } });
      const attempts: number[] = [];
      job.on('retry', ({ attempt }) => attempts.push(attempt));
      expect((await job.start()).reply?.bytes).to.equal(40_000);
      expect(attempts).to.deep.equal([1, 1, 1, 1]);
    });

    it('of a reply of which no new byte comes end the job', async () => {
      const server = await serve({
        reply: () => Buffer.alloc(40_000, 7),
        faults: [{ on: 'reply', times: 10_000, do: 'reset-after-commit' }],
      });
      const job = jobTo(server, {
        reply: true,
        retry: { minDelayMs: 5 },
        timeouts: { noProgressMs: 100 },
      });
      expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_NO_PROGRESS' });
      unfinished.add(server);
    });

    it('that are fatal are not retried', async () => {
      const server = await serve({ uploadsEnabled: false });
      const error = await bitsError(jobTo(server).start());
      expect(error).to.include({ code: 'BITS_ERR_SERVER', status: 501, retryable: false });
      expect(server.log).to.have.lengthOf(1);
    });
  });

  it('begins again when the server lost the session, and warns', async () => {
    const server = await serve({ faults: [{ on: 'fragment', nth: 3, do: 'session-gone' }] });
    const job = jobTo(server);
    const warnings: string[] = [];
    job.on('warning', ({ code }) => warnings.push(code));
    const { bytesSent } = await job.start();
    expect(warnings).to.deep.equal(['session-restarted']);
    expect(bytesSent).to.be.greaterThan(100 * KIB);
  });

  it('warns of no new start when the server lost the session too often', async () => {
    const faults = [{ on: 'fragment', times: 2, do: 'session-gone' } as const];
    const job = jobTo(await serve({ faults }), { maxRestarts: 1 });
    const warnings: string[] = [];
    job.on('warning', ({ code }) => warnings.push(code));
    expect(await bitsError(job.start())).to.include({ code: 'BITS_ERR_SESSION_NOT_FOUND' });
    expect(warnings).to.deep.equal(['session-restarted']);
  });

  it('presumes the file in place when the answer to Close was lost', async () => {
    const server = await serve({ faults: [{ on: 'close-session', do: 'reset-after-commit' }] });
    const result = await jobTo(server).start();
    expect(result.closed).to.equal('presumed');
    expect(sha256(await uploaded(server))).to.equal(sha256(patterned(100 * KIB)));
  });

  it('takes smaller fragments where the server asks for them', async () => {
    const server = await serve({ maxFragmentBytes: 9 * KIB });
    await jobTo(server).start();
    expect(server.log.filter(({ status }) => status === 413)).to.have.lengthOf(1);
  });

  it('cancels when the file changes in the middle', async () => {
    const server = await serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 503 } }] });
    const path = join(folder(), 'changing.bin');
    await writePatterned(path, 100 * KIB);
    const job = jobTo(server, { source: path });
    const result = job.start();
    await server.waitForRequest('fragment', 2);
    await writePatterned(path, 100 * KIB + 1);
    expect(await bitsError(result)).to.include({ code: 'BITS_ERR_SOURCE_CHANGED' });
    expect(packets(server).at(-1)).to.equal('cancel-session');
    expect(job.state).to.equal('failed');
  });

  it('follows a host-id, and goes back to the origin when that host fails too long', async () => {
    const farm = await serve();
    const elsewhere = await serve();
    const { host } = new URL(elsewhere.url);
    const origin = await serve({ hostId: host, hostIdFallbackTimeoutMs: 1000 });
    await elsewhere.close();
    const job = jobTo(origin, { retry: { minDelayMs: 20 } });
    await job.start();
    expect(packets(origin)).to.include('ping');
    expect(farm.log).to.have.lengthOf(0);
    expect(sha256(await uploaded(origin))).to.equal(sha256(patterned(100 * KIB)));
  });

  it('says who sent it to a host-id that cannot be reached', async () => {
    const elsewhere = await serve();
    const { host } = new URL(elsewhere.url);
    const origin = await serve({ hostId: host });
    await elsewhere.close();
    const error = await bitsError(jobTo(origin, { retry: { limit: 0 } }).start());
    expect(error.message).to.match(
      new RegExp(`^${new URL(origin.url).host} moves this upload to ${host} \\(BITS-Host-Id\\)`),
    );
  });

  it('does not take credentials to a host-id that nobody vouched for', async () => {
    const origin = await serve({ hostId: 'localhost:1' });
    const error = await bitsError(
      jobTo(origin, { headers: { Authorization: 'Bearer secret' } }).start(),
    );
    expect(error).to.include({ code: 'BITS_ERR_UNTRUSTED_HOST' });
    expect(error.message)
      .to.match(/localhost:1.*trustedHosts/s)
      .and.not.match(/secret/);
  });

  describe('upload-reply', () => {
    const reply = async (upload: { open(): AsyncIterable<Buffer> }) => {
      const chunks: Buffer[] = [];
      for await (const chunk of upload.open()) chunks.push(chunk);
      return `sha256:${sha256(Buffer.concat(chunks))}`;
    };

    it('has the reply in hand before it closes', async () => {
      const server = await serve({ reply });
      const result: UploadResult = await jobTo(server, { reply: true }).start();
      const text = Buffer.from(result.reply?.data ?? []).toString();
      expect(text).to.equal(`sha256:${sha256(patterned(100 * KIB))}`);
      expect(packets(server).slice(-2)).to.deep.equal(['reply', 'close-session']);
    });

    it('is waited for after the last byte, though a transport sends the fragments twice', async () => {
      const server = await serve({ reply });
      const inner = createUndiciTransport();
      const states: string[] = [];
      const job = jobTo(server, {
        reply: true,
        transport: {
          limitations: [],
          close: () => inner.close(),
          // As when authentication is asked for after the body.
          send: async (request, options) => {
            for await (const { byteLength } of request.body?.pieces() ?? []) {
              options.onBytesSent?.(byteLength);
            }
            const response = await inner.send(request, options);
            if (request.body !== undefined) states.push(job.state);
            return response;
          },
        },
      });
      await job.start();
      expect(states).to.deep.equal([...Array(6).fill('fragment'), 'await-reply']);
    });

    it('sends the last fragment again when its answer was lost', async () => {
      const server = await serve({
        reply,
        faults: [{ on: 'fragment', nth: 7, do: 'reset-after-commit' }],
      });
      const result = await jobTo(server, { reply: true }).start();
      expect(result.reply?.bytes).to.equal(71);
    });

    it('fails without a reply, unless it is optional', async () => {
      const server = await serve();
      const error = await bitsError(jobTo(server, { reply: true }).start());
      expect(error).to.include({ code: 'BITS_ERR_REPLY' });
      const result = await jobTo(server, { reply: { optional: true } }).start();
      expect(result.reply).to.equal(undefined);
    });
  });
});
