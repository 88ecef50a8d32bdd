import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { UploadJob } from '../../src/job/upload-job.js';
import type { QueuedUploadOptions, QueueOptions } from '../../src/queue/options.js';
import { UploadQueue } from '../../src/queue/upload-queue.js';
import type { ByteSource } from '../../src/source/source.js';
import { createMemoryStore } from '../../src/store/memory.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { patterned, temporaryFolder, writePatterned } from '../support/files.js';

const KIB = 1024;

describe('a queue of uploads', () => {
  const folder = temporaryFolder();
  let server: BitsServer;
  let unhandled: unknown[];
  const onUnhandled = (reason: unknown) => unhandled.push(reason);

  async function serve(options: BitsServerOptions = {}): Promise<void> {
    server = await createBitsServer(options);
  }

  beforeEach(() => {
    unhandled = [];
    process.on('unhandledRejection', onUnhandled);
  });

  afterEach(async () => {
    await new Promise(setImmediate);
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).to.be.empty;
    await server.close();
    server.assertNoViolations();
  });

  function queueOf(options: QueueOptions = {}): UploadQueue {
    return new UploadQueue({
      ...options,
      defaults: { retry: { minDelayMs: 0 }, ...options.defaults },
    });
  }

  const file = (name: string, options: Partial<QueuedUploadOptions> = {}): QueuedUploadOptions => ({
    url: server.url,
    name,
    source: patterned(20 * KIB, name.length),
    ...options,
  });
  const names = (count: number) => Array.from({ length: count }, (_, number) => `file-${number}`);
  const uploaded = (name: string) => readFile(join(server.root, name));
  const created = () => server.log.filter(({ packet }) => packet === 'create-session').length;
  const code = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'resolved',
      (error: BitsError) => error.code,
    );

  /** A source that tells when it is opened. */
  function noting(opened: string[], name: string, bytes = 10): ByteSource {
    return {
      name,
      open: async () => {
        opened.push(name);
        const content = patterned(bytes);
        return {
          byteLength: bytes,
          async *read(start: number, end: number) {
            yield content.subarray(start, end);
          },
          verify: async () => {},
          close: async () => {},
        };
      },
    };
  }

  it('uploads each file, and tells of each', async () => {
    await serve();
    const queue = queueOf({ concurrency: 3 });
    const told: string[] = [];
    queue.on('start', () => told.push('start')).on('done', () => told.push('done'));
    const jobs = names(7).map((name) => queue.add(file(name)));
    const progress = await queue.onIdle();
    expect(progress).to.include({ filesDone: 7, filesFailed: 0, filesWaiting: 0, filesRunning: 0 });
    expect(progress).to.include({ bytesSent: 7 * 20 * KIB, bytesTotal: 7 * 20 * KIB, etaMs: 0 });
    expect(told.filter((what) => what === 'start')).to.have.lengthOf(7);
    expect(told.filter((what) => what === 'done')).to.have.lengthOf(7);
    for (const job of jobs) expect((await job.result).bytes).to.equal(20 * KIB);
    for (const name of names(7)) {
      expect(await uploaded(name)).to.deep.equal(patterned(20 * KIB, name.length));
    }
  });

  it('has at most so many at work as it is told, also when that changes', async () => {
    await serve({ faults: [{ on: 'fragment', times: Infinity, do: { delayMs: 20 } }] });
    const queue = queueOf({ concurrency: 2 });
    let most = 0;
    let running = 0;
    queue.on('start', () => {
      most = Math.max(most, ++running);
    });
    queue.on('done', () => running--);
    for (const name of names(6)) queue.add(file(name));
    await once(queue, 'done');
    expect(most).to.equal(2);
    queue.concurrency = 4;
    await queue.onIdle();
    expect(most).to.equal(4);
  });

  it('begins a job when it is its turn, though its user starts it before', async () => {
    await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const first = queue.add(file('first'));
    const second = queue.add(file('second'));
    const result = second.start();
    const progress = second.progress[Symbol.asyncIterator]().next();
    await server.waitForRequest('fragment');
    expect(second.state).to.equal('init');
    expect(created()).to.equal(1);
    await first.cancel();
    expect((await progress).done).to.equal(false);
    expect(await result).to.include({ bytes: 20 * KIB });
    expect(await code(first.result)).to.equal('BITS_ERR_ABORTED');
  });

  it('goes on after a failure, which it tells, and which is no unhandled rejection', async () => {
    await serve({ faults: [{ on: 'create-session', nth: 2, do: { status: 403 } }] });
    const queue = queueOf({ concurrency: 1 });
    const failed: [string | undefined, string][] = [];
    queue.on('failed', (job, error) => failed.push([job.toJSON().source, error.code]));
    const jobs = names(4).map((name) => queue.add(file(name)));
    void jobs[1]?.start();
    expect(await queue.onIdle()).to.include({ filesDone: 3, filesFailed: 1 });
    expect(failed).to.deep.equal([['file-1', 'BITS_ERR_SERVER']]);
    expect(await code(jobs[1]?.result as Promise<unknown>)).to.equal('BITS_ERR_SERVER');
  });

  it('takes the next options only when few jobs wait, and opens sources at their turn', async () => {
    await serve({ faults: [{ on: 'create-session', do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const opened: string[] = [];
    let taken = 0;
    async function* many() {
      for (const name of names(500)) {
        taken++;
        yield file(name, { source: noting(opened, name) });
      }
    }
    const all = queue.addAll(many());
    await server.waitForRequest('create-session');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(taken).to.be.at.most(70);
    expect(opened).to.deep.equal(['file-0']);
    queue.clear();
    await all;
    expect(taken).to.be.at.most(70);
    await queue.pause();
    expect(opened).to.deep.equal(['file-0']);
  });

  it('goes on with the other options when some make no job', async () => {
    await serve();
    const queue = queueOf();
    const refused: [unknown, string][] = [];
    queue.on('refused', ({ url }, error) => refused.push([url, error.code]));
    await queue.addAll([file('a'), file('b', { url: 'ftp://x/' }), file('c')]);
    expect(await queue.onIdle()).to.include({ filesDone: 2, filesFailed: 1 });
    expect(refused).to.deep.equal([['ftp://x/', 'BITS_ERR_ARGUMENT']]);
  });

  it('suspends a low job for a foreground one, and goes on with it where it was', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 3, do: 'hang' }] });
    const queue = queueOf({ concurrency: 1, defaults: { fragmentBytes: 10 * KIB } });
    const ended: (string | undefined)[] = [];
    queue.on('done', (job) => ended.push(job.toJSON().source));
    const low = queue.add(
      file('low', { priority: 'low', source: patterned(100 * KIB), store: undefined }),
    );
    await server.waitForRequest('fragment', 3);
    queue.add(file('urgent', { priority: 'foreground' }));
    queue.add(file('later'));
    await queue.onIdle();
    expect(ended).to.deep.equal(['urgent', 'later', 'low']);
    expect((await low.result).resumed).to.equal(true);
    expect(await uploaded('low')).to.deep.equal(patterned(100 * KIB));
    expect(created()).to.equal(3);
  });

  it('suspends all when it is paused, and goes on with all when it is resumed', async () => {
    await serve({ faults: [{ on: 'fragment', times: 2, do: 'hang' }] });
    const queue = queueOf({ concurrency: 2 });
    const jobs = names(4).map((name) => queue.add(file(name)));
    await server.waitForRequest('fragment', 2);
    await queue.pause();
    const sent = server.log.length;
    expect(jobs.map(({ state }) => state)).to.deep.equal([
      'suspended',
      'suspended',
      'init',
      'init',
    ]);
    expect(queue.progress).to.include({ filesWaiting: 4, filesRunning: 0 });
    queue.add(file('more'));
    await new Promise(setImmediate);
    expect(server.log).to.have.lengthOf(sent);
    queue.resume();
    expect(await queue.onIdle()).to.include({ filesDone: 5 });
  });

  it('takes out what waits when it is cleared', async () => {
    await serve({ faults: [{ on: 'fragment', do: { delayMs: 50 } }] });
    const queue = queueOf({ concurrency: 1 });
    const [running, ...waiting] = names(4).map((name) => queue.add(file(name)));
    await server.waitForRequest('fragment');
    queue.clear();
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesFailed: 3 });
    expect((await running?.result)?.bytes).to.equal(20 * KIB);
    for (const job of waiting) expect(await code(job.result)).to.equal('BITS_ERR_ABORTED');
    expect(created()).to.equal(1);
  });

  it('waits no longer for options and records when it is cleared, however long they take', async () => {
    await serve();
    const store = { ...createMemoryStore(), list: () => new Promise<never>(() => {}) };
    const queue = queueOf({ defaults: { store } });
    async function* endless() {
      yield file('a');
      await new Promise(() => {});
    }
    const asked = once(queue, 'done');
    const added = [
      queue.addAll(endless()),
      queue.addAll([new Promise<never>(() => {}) as never]),
      queue.restore(),
    ];
    await asked;
    queue.clear();
    await Promise.all(added);
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesFailed: 0 });
  });

  it('closes what gave it options when it is cleared', async () => {
    await serve({ faults: [{ on: 'create-session', do: { delayMs: 50 } }] });
    const queue = queueOf({ concurrency: 1 });
    let isClosed = false;
    async function* many() {
      try {
        for (const name of names(500)) yield file(name);
      } finally {
        isClosed = true;
      }
    }
    const all = queue.addAll(many());
    await server.waitForRequest('create-session');
    queue.clear();
    await all;
    await queue.onIdle();
    expect(isClosed).to.equal(true);
  });

  it('takes out what it is suspending when it is cleared', async () => {
    await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const running = queue.add(file('running'));
    await server.waitForRequest('fragment');
    const pausing = queue.pause();
    queue.clear();
    await pausing;
    expect(await queue.onIdle()).to.include({ filesFailed: 1 });
    expect(await code(running.result)).to.equal('BITS_ERR_ABORTED');
    queue.resume();
    expect((await running.resume()).resumed).to.equal(true);
  });

  it('keeps a job that its user resumes after the queue was cleared', async () => {
    await serve({ faults: [{ on: 'fragment', times: 2, do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const job = queue.add(file('a'));
    await server.waitForRequest('fragment');
    const pausing = queue.pause();
    queue.clear();
    const resumed = job.resume();
    await pausing;
    await server.waitForRequest('fragment', 2);
    await queue.pause();
    queue.resume();
    expect((await resumed).bytes).to.equal(20 * KIB);
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesFailed: 0 });
  });

  it('gives the place of a job that its user suspends to others, and lets the user resume it', async () => {
    await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const [first, second, third] = names(3).map((name) => queue.add(file(name)));
    if (!first || !second || !third) throw new Error('no jobs');
    await server.waitForRequest('fragment');
    await Promise.all([first.suspend(), third.suspend()]);
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesSuspended: 2 });
    expect(second.state).to.equal('completed');
    const results = [first.resume(), third.resume()];
    expect(queue.progress).to.include({ filesRunning: 2 });
    expect(await queue.onIdle()).to.include({ filesDone: 3, filesSuspended: 0 });
    await Promise.all(results);
  });

  for (const [when, suspend] of [
    ['before', async (job, pause) => [job.suspend(), pause()]],
    ['while', async (job, pause) => [pause(), job.suspend()]],
    ['after', async (job, pause) => [await pause(), job.suspend()]],
  ] satisfies [string, (job: UploadJob, pause: () => Promise<void>) => Promise<unknown[]>][]) {
    it(`leaves a job alone that its user suspended ${when} the queue was paused`, async () => {
      await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
      const queue = queueOf({ concurrency: 1 });
      const job = queue.add(file('a'));
      await server.waitForRequest('fragment');
      await Promise.all(await suspend(job, () => queue.pause()));
      expect(queue.progress).to.include({ filesWaiting: 0, filesSuspended: 1 });
      queue.resume();
      queue.add(file('b'));
      expect(await queue.onIdle()).to.include({ filesDone: 1, filesSuspended: 1 });
      await job.resume();
      expect(queue.progress).to.include({ filesDone: 2, filesSuspended: 0 });
    });
  }

  it('continues a job that its user suspended and resumed while the queue was pausing', async () => {
    await serve({ faults: [{ on: 'fragment', do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const job = queue.add(file('a'));
    await server.waitForRequest('fragment');
    const suspended = job.suspend();
    const refused = code(job.resume());
    await Promise.all([suspended, queue.pause()]);
    expect(await refused).to.equal('BITS_ERR_STATE');
    expect(queue.progress).to.include({ filesWaiting: 1, filesSuspended: 0 });
    queue.resume();
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesSuspended: 0 });
  });

  it('leaves a low job alone that its user suspends after it made room', async () => {
    await serve({ faults: [{ on: 'fragment', times: 2, do: 'hang' }] });
    const queue = queueOf({ concurrency: 1 });
    const low = queue.add(file('low', { priority: 'low' }));
    await server.waitForRequest('fragment');
    const urgent = queue.add(file('urgent', { priority: 'foreground' }));
    await server.waitForRequest('fragment', 2);
    await low.suspend();
    await urgent.suspend();
    void urgent.resume();
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesSuspended: 1 });
    expect(low.state).to.equal('suspended');
  });

  it('sends one upload alone to a host until it has answered', async () => {
    await serve({ faults: [{ on: 'create-session', do: { delayMs: 60 } }] });
    const queue = queueOf({ concurrency: 4 });
    for (const name of names(4)) queue.add(file(name));
    await once(queue, 'start');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(queue.progress).to.include({ filesRunning: 1 });
    expect(await queue.onIdle()).to.include({ filesDone: 4 });
  });

  it('begins nothing more where the credentials are refused', async () => {
    await serve({
      faults: [
        {
          on: 'any',
          times: Infinity,
          do: { status: 401, headers: { 'WWW-Authenticate': 'Basic' } },
        },
      ],
    });
    const other = await createBitsServer();
    const auth = () => ({ credentials: { username: 'a', password: 'wrong' } });
    const queue = queueOf({ concurrency: 4 });
    const messages: string[] = [];
    queue.on('failed', (_job, error) => messages.push(error.message));
    for (const name of names(20)) queue.add(file(name, { auth: auth() }));
    queue.add({ ...file('elsewhere'), url: other.url });
    expect(await queue.onIdle()).to.include({ filesDone: 1, filesFailed: 20 });
    expect(messages.filter((text) => text.startsWith('not begun: '))).to.have.lengthOf(19);
    expect(server.log.length).to.be.at.most(2);
    await other.close();
  });

  it('begins nothing more where two uploads found no server', async () => {
    await serve();
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as { port: number };
    gone.close();
    const queue = queueOf({ concurrency: 4, unreachableAfterMs: 50 });
    const messages: string[] = [];
    queue.on('failed', (_job, error) => messages.push(error.message));
    for (const name of names(10)) queue.add(file(name, { url: `http://127.0.0.1:${port}/` }));
    for (const name of names(3)) queue.add(file(name));
    expect(await queue.onIdle()).to.include({ filesDone: 3, filesFailed: 10 });
    const begun = messages.filter((text) => !text.startsWith('not begun: '));
    expect(begun).to.have.lengthOf(2);
  });

  it('does not take for speed what an earlier run has sent', async () => {
    await serve({ faults: [{ on: 'fragment', nth: 3, do: { status: 503 } }] });
    const store = createMemoryStore();
    const path = join(folder(), 'earlier.bin');
    await writePatterned(path, 40 * KIB);
    const upload = file('earlier', { source: path, store, fragmentBytes: 10 * KIB });
    const failing = queueOf({ defaults: { retry: { limit: 0 } } });
    expect(await code(failing.add(upload).result)).to.equal('BITS_ERR_SERVER');
    server.addFault({ on: 'ping', do: 'hang' });
    const queue = queueOf();
    const stop = new AbortController();
    const job = queue.add({ ...upload, signal: stop.signal });
    await server.waitForRequest('ping');
    expect(queue.progress).to.include({ bytesSent: 20 * KIB, bytesPerSecond: 0 });
    stop.abort();
    expect(await code(job.result)).to.equal('BITS_ERR_ABORTED');
  });

  it('restores all jobs of a store, and tells of records that make none', async () => {
    await serve({ faults: [{ on: 'fragment', times: 3, do: { status: 503 } }] });
    const store = createMemoryStore();
    const path = (name: string) => join(folder(), name);
    const defaults = { store, retry: { limit: 0 }, fragmentBytes: 10 * KIB };
    const before = queueOf({ concurrency: 1, defaults });
    for (const name of names(3)) {
      await writePatterned(path(name), 30 * KIB, name.length);
      const url = `${server.url}${name}${name === 'file-2' ? '?token=secret' : ''}`;
      before.add({ url, source: path(name) });
    }
    expect(await before.onIdle()).to.include({ filesFailed: 3 });
    const queue = queueOf({ concurrency: 2, defaults: { store } });
    const [{ jobs, problems }, meanwhile] = await Promise.all([
      queue.restore({ priority: 'high' }),
      queue.restore(),
    ]);
    expect(meanwhile.jobs).to.deep.equal([]);
    expect(jobs.map(({ state }) => state)).to.deep.equal(['suspended', 'suspended']);
    expect(problems.map(({ error }) => error.code)).to.deep.equal(['BITS_ERR_ARGUMENT']);
    const again = await Promise.all([queue.restore(), queue.restore()]);
    for (const { jobs: none } of again) expect(none).to.deep.equal([]);
    expect(await queue.onIdle()).to.include({ filesDone: 2 });
    for (const job of jobs) expect((await job.result).resumed).to.equal(true);
    expect((await store.list()).records).to.have.lengthOf(1);
    await new UploadJob({
      ...defaults,
      url: `${server.url}file-2?token=secret`,
      source: path('file-2'),
    }).start();
  });

  it('says with its own error that a store fails to list its records', async () => {
    const store = createMemoryStore();
    store.list = () => Promise.reject(new Error('the database is down'));
    for (const restored of [
      queueOf({ defaults: { store } }).restore(),
      UploadJob.restore(store, 'any'),
    ]) {
      const error = await restored.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
      expect((error as Error).message).to.include('the database is down');
    }
  });

  for (const all of [undefined, 5, {}, 'file']) {
    it(`refuses ${JSON.stringify(all)} in place of many options`, async () => {
      const adding = new UploadQueue().addAll(all as never);
      const error: unknown = await adding.catch((reason: unknown) => reason);
      expect(error).to.have.property('code', 'BITS_ERR_ARGUMENT');
    });
  }

  it('joins retries and time-outs of a job with those of the queue', async () => {
    await serve({ faults: [{ on: 'fragment', do: { status: 503 } }] });
    const queue = queueOf({ defaults: { retry: { limit: 0, minDelayMs: 0 } } });
    queue.add(file('a', { retry: { maxDelayMs: 0 } }));
    expect(await queue.onIdle()).to.include({ filesFailed: 1 });
  });

  const refused: readonly [string, () => unknown][] = [
    ['an unknown option', () => new UploadQueue({ paralel: 3 } as never)],
    ['an unknown default', () => new UploadQueue({ defaults: { fragmentSize: 1 } as never })],
    ['no place', () => new UploadQueue({ concurrency: 0 })],
    ['too many places', () => new UploadQueue({ concurrency: 33 })],
    ['a part of a place', () => new UploadQueue({ concurrency: 1.5 })],
    ['a time that is none', () => new UploadQueue({ unreachableAfterMs: -1 })],
    [
      'an unknown priority',
      () => new UploadQueue().add(file('a', { priority: 'urgent' as never })),
    ],
    ['an unknown option of a job', () => new UploadQueue().add(file('a', { prority: 1 } as never))],
    ['a wrong group of a job', () => new UploadQueue().add(file('a', { retry: 5 as never }))],
    ['a change to no place', () => Object.assign(new UploadQueue(), { concurrency: -1 })],
    ['a change to nothing', () => Object.assign(new UploadQueue(), { concurrency: undefined })],
  ];
  for (const [what, attempt] of refused) {
    it(`refuses ${what}`, async () => {
      await serve();
      expect(attempt).to.throw(BitsError).with.property('code', 'BITS_ERR_ARGUMENT');
    });
  }
});
