import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { FlowProducer, Worker } from 'bullmq';
import { expect } from 'chai';
import {
  cancelUpload,
  enqueueUploads,
  type FleetJob,
  type FleetResult,
  fleetStatus,
  openUploadQueue,
  type ResolveSource,
  uploadFlowJob,
} from '../../src/bullmq.js';
import { describeWith } from '../interop/support/installed.js';
import { failureOf } from '../store/records.js';
import { patterned, writePatterned } from '../support/files.js';
import { REDIS, RedisServer } from '../support/redis.js';
import { until } from '../support/until.js';
import { Fleet, told } from './fleet.js';

const KIB = 1024;

describeWith('a worker of a fleet', [REDIS], () => {
  const fleet = Fleet.forSuite();

  it('uploads files, returns where they are, and leaves nothing in Redis but the jobs', async () => {
    const names = ['empty.bin', 'small.bin', 'large.bin'];
    const contents = await Promise.all(
      [0, 1000, 700 * KIB].map((size, index) =>
        writePatterned(fleet.path(names[index] ?? ''), size),
      ),
    );
    const jobs = await enqueueUploads(
      fleet.queue,
      names.map((name) => ({ url: fleet.server.url, source: fleet.path(name) })),
    );
    const worker = await fleet.worker();
    const done = await Promise.all(jobs.map((job) => told(worker, 'done', job)));
    expect(await Promise.all(names.map((name) => fleet.arrived(name)))).to.deep.equal(contents);
    const [, result] = done[2] ?? [];
    expect(result).to.include({ bytes: 700 * KIB, worker: worker.name, closed: 'acknowledged' });
    const kept = await fleet.queue.getJob(jobs[2]?.id ?? '');
    expect(kept?.returnvalue).to.include({ url: `${fleet.server.url}large.bin` });
    expect(kept?.progress).to.include({ worker: worker.name, totalBytes: 700 * KIB });
    await worker.close();
    expect(await fleet.leftovers()).to.deep.equal([]);
    fleet.server.assertNoViolations();
  });

  it('takes the jobs of a higher priority first', async () => {
    const source = await fleet.file('a.bin', 10);
    const jobs = await enqueueUploads(
      fleet.queue,
      (['low', 'normal', 'foreground', 'high'] as const).map((priority) => ({
        url: `${fleet.server.url}${priority}`,
        source,
        priority,
      })),
    );
    const worker = await fleet.worker({ concurrency: 1 });
    await Promise.all(jobs.map((job) => told(worker, 'done', job)));
    expect(
      fleet.server.uploads.map(({ url }) => url.slice(url.lastIndexOf('/') + 1)),
    ).to.deep.equal(['foreground', 'high', 'normal', 'low']);
  });

  it('suspends its uploads when it is closed, and another one resumes them at once', async () => {
    const content = await writePatterned(fleet.path('handed-over.bin'), 2 * 1024 * KIB);
    const fragmentBytes = 256 * KIB;
    fleet.server.addFault({ on: 'fragment', nth: 4, do: 'hang' });
    const first = await fleet.worker();
    const job = await fleet.enqueue({ source: fleet.path('handed-over.bin'), fragmentBytes });
    await untilHung();
    const returned = told(first, 'returned', job);
    await first.close();
    expect(await returned).to.include('The worker was stopped.');
    expect(await fleet.leftovers()).to.include('records');
    // Delayed by the clock of this machine, it would wait when that of the next one is behind.
    expect(await job.getState()).to.equal('prioritized');
    const second = await fleet.worker();
    const [, result] = await told(second, 'done', job);
    expect(result).to.include({ resumed: true, worker: second.name });
    expect(await fleet.arrived('handed-over.bin')).to.deep.equal(content);
    fleet.server.assertNoViolations();
  });

  it('continues a stream of known length with what the server lacks, when its version is the same', async () => {
    const content = patterned(1024 * KIB);
    const fragmentBytes = 128 * KIB;
    fleet.server.addFault({ on: 'fragment', nth: 5, do: 'hang' });
    let opened = 0;
    const resolveSource: ResolveSource = () => {
      opened++;
      return {
        stream: Readable.from(chunks(content)),
        byteLength: content.byteLength,
        version: 'v1',
      };
    };
    const first = await fleet.worker({ resolveSource });
    const job = await fleet.enqueue({ source: 's3://bucket/object.bin', fragmentBytes });
    await untilHung();
    await first.close();
    const second = await fleet.worker({ resolveSource });
    const [, result] = await told(second, 'done', job);
    expect(result).to.include({ resumed: true });
    const { bytesSent } = result as FleetResult;
    expect(bytesSent).to.be.at.most(content.byteLength - 3 * fragmentBytes);
    expect(opened).to.equal(2);
    expect(await fleet.arrived('object.bin')).to.deep.equal(content);
    fleet.server.assertNoViolations();
  });

  it('starts a stream over that has no version', async () => {
    const content = patterned(512 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 3, do: 'hang' });
    const resolveSource: ResolveSource = () => ({
      stream: Readable.from(chunks(content)),
      byteLength: content.byteLength,
    });
    const first = await fleet.worker({ resolveSource });
    const job = await fleet.enqueue({ source: 's3://bucket/again.bin', fragmentBytes: 128 * KIB });
    await untilHung();
    await first.close();
    const second = await fleet.worker({ resolveSource });
    const [, result] = await told(second, 'done', job);
    expect(result).to.include({ resumed: false, bytesSent: content.byteLength });
    expect(await fleet.arrived('again.bin')).to.deep.equal(content);
    await second.close();
    expect(await fleet.leftovers()).to.deep.equal([]);
    fleet.server.assertNoViolations();
  });

  it('returns a job whose source it cannot see, and another one does it', async () => {
    const worker = await fleet.worker();
    const missing = fleet.path('later.bin');
    const job = await fleet.enqueue({ source: missing });
    const [, reason] = await told(worker, 'returned', job);
    expect(reason).to.match(/cannot read .*later\.bin: ENOENT/);
    await writePatterned(missing, 100);
    await told(worker, 'done', job);
  });

  it('fails a job whose source no worker sees, after so many attempts', async () => {
    const worker = await fleet.worker({ maxReturns: 2 });
    const job = await fleet.enqueue({ source: fleet.path('never.bin') });
    const [, error, isFinal] = await told(worker, 'failed', job);
    expect(String(error)).to.match(/No worker could do the job in 3 attempts/);
    expect(isFinal).to.equal(true);
    expect(await fleetStatus(fleet.queue)).to.have.nested.property('counts.failed', 1);
  });

  it('reads no file outside of its directories, not even by a link', async () => {
    await mkdir(fleet.path('inside'), { recursive: true });
    await fleet.file('outside.bin', 10);
    await symlink(fleet.path('outside.bin'), fleet.path('inside', 'link.bin'));
    const worker = await fleet.worker({ directories: [fleet.path('inside')], maxReturns: 0 });
    for (const name of ['outside.bin', 'inside/link.bin']) {
      const job = await fleet.enqueue({ source: fleet.path(name) });
      const [, error] = await told(worker, 'failed', job);
      expect(String(error)).to.match(/in none of the directories/);
    }
    expect(fleet.server.log).to.deep.equal([]);
  });

  it('does not tell which files there are outside of its directories', async () => {
    const inside = fleet.path('ward');
    const outside = fleet.path('elsewhere');
    for (const path of [inside, outside]) await mkdir(path, { recursive: true });
    await writePatterned(join(outside, 'there'), 10);
    await writePatterned(join(inside, 'asks.bin'), 10);
    await symlink(outside, join(inside, 'door'));
    await symlink(join(outside, 'there'), join(inside, 'link-there'));
    await symlink(join(outside, 'missing'), join(inside, 'link-missing'));
    const worker = await fleet.worker({ directories: [inside], maxReturns: 0 });
    const answerTo = async (path: string, isReply: boolean): Promise<string> => {
      // As a stranger writes it.
      const job = (await fleet.queue.add('upload', {
        version: 1,
        url: fleet.server.url,
        source: isReply ? join(inside, 'asks.bin') : path,
        ...(isReply && { reply: { to: `${path}/reply` } }),
      })) as FleetJob;
      return String((await told(worker, 'failed', job))[1]).replaceAll(/there|missing/g, '…');
    };
    const places = [
      join(outside, '…'),
      join(inside, 'door', '…'),
      join(inside, 'link-…'),
      // Of which the system and the text may say different things.
      `${inside}/door/../link-…`,
      `${inside}/../elsewhere/…`,
    ];
    for (const place of places) {
      for (const isReply of [false, true]) {
        const [there, missing] = await Promise.all(
          ['there', 'missing'].map((name) => answerTo(place.replace('…', name), isReply)),
        );
        expect(there).to.match(/in none of the directories/);
        expect(missing).to.equal(there);
      }
    }
    expect(await answerTo(join(inside, 'missing'), false)).to.match(/ENOENT/);
  });

  it('says what is missing when one of its directories is not there', async () => {
    const directories = [fleet.path('not-mounted')];
    const worker = await fleet.worker({ directories, maxReturns: 0 });
    const source = fleet.path('not-mounted', 'deep', 'a.bin');
    const job = await fleet.enqueue({ source });
    expect(String((await told(worker, 'failed', job))[1])).to.match(/ENOENT.*mounted/);
  });

  it('takes a directory by its own name and by the one that a link to it has', async () => {
    const real = fleet.path('real');
    await mkdir(real, { recursive: true });
    await symlink(real, fleet.path('alias'));
    await writePatterned(join(real, 'a.bin'), 10);
    const worker = await fleet.worker({ directories: [fleet.path('alias')] });
    for (const name of ['alias', 'real']) {
      const source = fleet.path(name, 'a.bin');
      const job = await fleet.enqueue({ url: `${fleet.server.url}${name}`, source });
      await told(worker, 'done', job);
    }
  });

  for (const [what, to, problem] of [
    ['outside of its directories', '../reply', /in none of the directories/],
    ['by the name of their parent', '..', /in none of the directories/],
    ['in a folder that is not there', 'missing/reply', /ENOENT for its folder/],
  ] as const) {
    it(`leaves a job to others whose reply would be ${what}`, async () => {
      await mkdir(fleet.path('inside'), { recursive: true });
      await writePatterned(fleet.path('inside', 'asks.bin'), 10);
      const directories = [fleet.path('inside')];
      const worker = await fleet.worker({ directories, maxReturns: 0 });
      const source = fleet.path('inside', 'asks.bin');
      const reply = { to: `${fleet.path('inside')}/${to}` };
      const { data } = await fleet.enqueue({ source, jobOptions: { delay: 1_000_000_000 } });
      const job = (await fleet.queue.add('upload', { ...data, reply })) as FleetJob;
      const [, error] = await told(worker, 'failed', job);
      expect(String(error)).to.match(problem);
      expect(fleet.server.log).to.deep.equal([]);
    });
  }

  it('sends credentials by their name, and only to the servers that they are for', async () => {
    const source = await fleet.file('named.bin', 10);
    const seen: unknown[] = [];
    fleet.server.addFault({
      on: 'create-session',
      do: { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } },
    });
    const credentials = {
      drop: {
        origins: [fleet.server.url],
        auth: { credentials: { username: 'u', password: 'open-sesame' } },
        query: 'sig=secret',
      },
      elsewhere: { origins: ['https://elsewhere.example'], auth: { token: 'secret' } },
    };
    const worker = await fleet.worker({ credentials, maxReturns: 0 });
    worker.on('progress', (_, progress) => seen.push(progress));
    const good = await fleet.enqueue({ source, credentials: 'drop' });
    const [, result] = await told(worker, 'done', good);
    expect(
      fleet.server.log.some(({ headers }) => headers.authorization?.startsWith('Basic ')),
    ).to.equal(true);
    const bad = await fleet.enqueue({ source, credentials: 'elsewhere' });
    const [, error] = await told(worker, 'failed', bad);
    expect(String(error)).to.match(/are not for http/);
    const unknown = await fleet.enqueue({ source, credentials: 'toString' });
    expect(String((await told(worker, 'failed', unknown))[1])).to.match(/has no credentials/);
    const everything = JSON.stringify([result, seen, await fleetStatus(fleet.queue)]);
    expect(everything + (await dump())).to.not.match(/sesame|secret/);
  });

  it('fails at once what no attempt can help, and tries again what may pass', async () => {
    const source = await fleet.file('refused.bin', 10);
    fleet.server.addFault({ on: 'create-session', do: { status: 403 } });
    const worker = await fleet.worker({ defaults: { retry: { limit: 0 } } });
    const job = await fleet.enqueue({ source });
    const [, error, isFinal] = await told(worker, 'failed', job);
    expect(String(error)).to.match(/BITS_ERR_/);
    expect(isFinal).to.equal(true);
    fleet.server.addFault({ on: 'create-session', do: { status: 503 } });
    const again = await fleet.enqueue({ source, jobOptions: { attempts: 2, backoff: 10 } });
    const [, , isOver] = await told(worker, 'failed', again);
    expect(isOver).to.equal(false);
    await told(worker, 'done', again);
  });

  it('cancels an upload that it is at, and frees its session', async () => {
    const source = await fleet.file('unwanted.bin', 1024 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    const worker = await fleet.worker({ lockMs: 600 });
    const job = await fleet.enqueue({ source, fragmentBytes: 64 * KIB });
    await untilHung();
    const failed = told(worker, 'failed', job);
    expect(await cancelUpload(fleet.queue, job.id ?? '')).to.equal(true);
    expect(String((await failed)[1])).to.match(/was cancelled/);
    expect(fleet.server.log.map(({ packet }) => packet)).to.include('cancel-session');
    expect(fleet.server.uploads).to.deep.equal([]);
    expect(await fleet.leftovers()).to.deep.equal([]);
  });

  it('cancels an upload that it took while somebody was about to remove it', async () => {
    const source = await fleet.file('taken.bin', 300 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 1, do: 'hang' });
    const job = await fleet.enqueue({ source });
    const { queue } = fleet;
    let failed: Promise<unknown[]> | undefined;
    const backend = Object.create(queue.backend, {
      getState: {
        value: async (id: string) => {
          const state = await queue.backend.getState(id);
          const worker = await fleet.worker({ lockMs: 600 });
          failed = told(worker, 'failed', job);
          await told(worker, 'started', job);
          return state;
        },
      },
    });
    const late = Object.create(queue, { backend: { value: backend } }) as typeof queue;
    expect(await cancelUpload(late, job.id ?? '')).to.equal(true);
    expect(await failed).to.deep.include(true);
    expect(fleet.server.uploads).to.deep.equal([]);
  });

  it('cancels an upload that waits, with the session that an earlier worker left', async () => {
    const source = await fleet.file('waiting.bin', 1024 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    const untouched = await fleet.enqueue({
      url: `${fleet.server.url}other`,
      source,
      jobOptions: { delay: 1e6 },
    });
    expect(await cancelUpload(fleet.queue, untouched.id ?? '')).to.equal(true);
    expect(await fleet.queue.getJob(untouched.id ?? '')).to.equal(undefined);
    const first = await fleet.worker();
    const job = await fleet.enqueue({ source, fragmentBytes: 64 * KIB });
    await untilHung();
    await first.close();
    expect(await cancelUpload(fleet.queue, job.id ?? '')).to.equal(true);
    const second = await fleet.worker();
    expect(String((await told(second, 'failed', job))[1])).to.match(/was cancelled/);
    expect(fleet.server.log.map(({ packet }) => packet)).to.include('cancel-session');
    expect(await fleet.leftovers()).to.deep.equal([]);
    expect(await cancelUpload(fleet.queue, 'no-such-job')).to.equal(false);
  });

  it('lets only one of two jobs upload a file to a URL at once', async () => {
    await fleet.serve({ allowOverwrite: true });
    const source = await fleet.file('twice.bin', 300 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 2, do: { delayMs: 300 } });
    const upload = {
      url: fleet.server.url,
      source,
      fragmentBytes: 64 * KIB,
    };
    const worker = await fleet.worker();
    const returned = told(worker, 'returned');
    const done = told(worker, 'done');
    await enqueueUploads(fleet.queue, [upload, upload]);
    const [job, reason] = await returned;
    expect(reason).to.match(/Another job uploads this file/);
    await done;
    const second = told(worker, 'done');
    await (job as FleetJob).promote();
    await second;
    expect(fleet.server.uploads).to.have.lengthOf(2);
    fleet.server.assertNoViolations();
  });

  it('gives up a job over which worker after worker died without progress, and no other', async () => {
    const source = await fleet.file('poison.bin', 10);
    const [poison, healthy] = await enqueueUploads(fleet.queue, [
      { url: `${fleet.server.url}poison`, source },
      { url: `${fleet.server.url}healthy`, source },
    ]);
    await fleet.redis.hset(`bull:${fleet.queue.name}:${poison?.id}`, 'stc', 3);
    await fleet.redis.hset(
      `bull:${fleet.queue.name}:${healthy?.id}`,
      'stc',
      3,
      'progress',
      '{"stalls":1}',
    );
    const worker = await fleet.worker({ maxCrashes: 2 });
    const [failed] = await Promise.all([
      told(worker, 'failed', poison),
      told(worker, 'done', healthy),
    ]);
    expect(String(failed[1])).to.match(/died 3 times in a row/);
    expect(failed[2]).to.equal(true);
    const done = told(worker, 'done', poison);
    await (failed[0] as FleetJob).retry();
    await done;
  });

  it('does not upload again what was closed before BullMQ heard of it', async () => {
    const source = await fleet.file('closed.bin', 10);
    const job = await fleet.enqueue({ source });
    const closed = { url: `${fleet.server.url}closed.bin`, bytes: 10 };
    await fleet.redis.hset(
      `{bits-upload:bull:${fleet.queue.name}}:closed`,
      `${job.timestamp}:${job.id}`,
      JSON.stringify(closed),
    );
    const worker = await fleet.worker();
    expect((await told(worker, 'done', job))[1]).to.deep.equal(closed);
    expect(fleet.server.log).to.deep.equal([]);
    await worker.close();
    expect(await fleet.leftovers()).to.deep.equal([]);
  });

  for (const damaged of ['{"url":', 'null', '{}']) {
    it(`does not upload again when the note of the Close is ${damaged}`, async () => {
      const source = await fleet.file('damaged.bin', 10);
      const job = await fleet.enqueue({ source, jobOptions: { attempts: 1 } });
      const closed = `{bits-upload:bull:${fleet.queue.name}}:closed`;
      await fleet.redis.hset(closed, `${job.timestamp}:${job.id}`, damaged);
      const [, error] = await told(await fleet.worker(), 'failed', job);
      expect(String(error)).to.match(/BITS_ERR_STORE: The upload is done, but its result/);
      expect(fleet.server.uploads).to.deep.equal([]);
    });
  }

  it('drops the records of jobs that are over or were removed', async () => {
    const prefix = `{bits-upload:bull:${fleet.queue.name}}`;
    const key = 'a'.repeat(32);
    await fleet.redis.hset(`${prefix}:records`, key, '{}');
    await fleet.redis.hset(`${prefix}:owners`, key, '17:gone');
    await fleet.redis.hset(`${prefix}:jobs`, '17:gone', key);
    await fleet.redis.hset(`${prefix}:closed`, '18:gone', '{}');
    const worker = await fleet.worker();
    await until(async () => (await fleet.leftovers()).length === 0);
    await worker.close();
  });

  it('returns a job of another version to the queue, and fails it in the end', async () => {
    const job = await fleet.queue.add('upload', {
      version: 2,
      url: fleet.server.url,
      source: '/x',
    });
    const worker = await fleet.worker({ maxReturns: 1 });
    expect((await told(worker, 'returned'))[1]).to.match(/version 2/);
    expect(String((await told(worker, 'failed', job))[1])).to.match(/version 2/);
  });

  it('fails what is no upload', async () => {
    const worker = await fleet.worker({ maxReturns: 0 });
    for (const data of [
      null,
      'x',
      {},
      { version: 1 },
      { version: 1, url: fleet.server.url, source: 'relative' },
      { version: 1, url: fleet.server.url, source: '/x', headers: { a: 'b' } },
    ]) {
      const failed = told(worker, 'failed');
      await fleet.queue.add('upload', data);
      expect(String((await failed)[1])).to.match(/BITS_ERR|version/);
    }
  });

  it('is a part of a flow: upload, then verify, with the result', async () => {
    const source = await fleet.file('flow.bin', 10);
    const flows = new FlowProducer({ connection: fleet.redis });
    const verifyQueue = `${fleet.queue.name}-verify`;
    const verified = new Promise((resolve) => {
      const verifier = new Worker(
        verifyQueue,
        async (job) => {
          resolve(Object.values(await job.getChildrenValues()));
          setImmediate(() => void verifier.close());
        },
        { connection: fleet.redisServer.connect() },
      );
    });
    await flows.add({
      name: 'verify',
      queueName: verifyQueue,
      children: [uploadFlowJob(fleet.queue.name, { url: fleet.server.url, source })],
    });
    await fleet.worker();
    expect(await verified).to.have.nested.property('[0].url', `${fleet.server.url}flow.bin`);
    await flows.close();
  });

  it('puts a reply where the job says, and names the place and the worker', async () => {
    await fleet.serve({ reply: () => Buffer.from('thanks') });
    const source = await fleet.file('ask.bin', 10);
    const to = fleet.path('answer.bin');
    await rm(to, { force: true });
    const worker = await fleet.worker();
    const job = await fleet.enqueue({ source, reply: { to } });
    const [, result] = await told(worker, 'done', job);
    expect(result).to.deep.include({ worker: worker.name, reply: { bytes: 6, file: to } });
    expect(await readFile(to, 'utf8')).to.equal('thanks');
  });

  it('tells who does what, and how far it is', async () => {
    const source = await fleet.file('shown.bin', 512 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 3, do: 'hang' });
    const worker = await fleet.worker({ name: 'machine-1' });
    const job = await fleet.enqueue({ source, fragmentBytes: 128 * KIB });
    await untilHung();
    const status = await fleetStatus(fleet.queue);
    expect(status.workers).to.deep.equal(['machine-1']);
    expect(status.counts).to.include({ active: 1, waiting: 0 });
    expect(status.active[0]).to.include({
      jobId: job.id,
      worker: 'machine-1',
      source,
      url: fleet.server.url,
    });
    await worker.close();
  });

  it('tells that a queue is paused, and of the jobs beside one that nobody can read', async () => {
    const { queue, redis } = fleet;
    expect((await fleetStatus(queue)).isPaused).to.equal(false);
    await queue.pause();
    const jobs = await enqueueUploads(
      queue,
      ['/a', '/b'].map((source) => ({ url: fleet.server.url, source })),
    );
    for (const [index, job] of jobs.entries()) {
      await redis.zadd(queue.toKey('failed'), index, job.id ?? '');
    }
    await redis.hset(queue.toKey(jobs[0]?.id ?? ''), 'data', '{');
    const { isPaused, failed } = await fleetStatus(queue);
    expect(isPaused).to.equal(true);
    expect(failed.map(({ jobId }) => jobId)).to.deep.equal([jobs[1]?.id]);
  });

  it('warns of a Redis that may drop keys', async () => {
    await fleet.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      const worker = await fleet.worker();
      const warning = await new Promise((resolve) => worker.on('warning', resolve));
      expect(warning).to.deep.include({ code: 'redis-evicts' });
    } finally {
      await fleet.redis.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });

  it('closes a queue although its Redis is away', async () => {
    const away = await RedisServer.start();
    const { close } = await openUploadQueue({ connection: away.url });
    await away.kill();
    await close();
    await away.close();
  });

  it('says in a bounded time that no Redis answers', async () => {
    const connection = 'redis://user:open-sesame@127.0.0.1:1';
    const error = await failureOf(fleet.worker({ connection, connectTimeoutMs: 200 }));
    expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'unavailable' });
    expect(error.message).to.match(/127\.0\.0\.1:1 within 0\.2 s/);
    expect(error.stack).to.not.match(/sesame/);
  });

  it('says at once that the password is wrong', async () => {
    await fleet.redis.acl('SETUSER', 'worker', 'on', '>open-sesame', '~*', '+@all');
    const connection = fleet.redisServer.url.replace('//', '//worker:close-sesame@');
    const error = await failureOf(fleet.worker({ connection, connectTimeoutMs: 1e6 }));
    expect(error).to.include({ code: 'BITS_ERR_STORE', reason: 'denied' });
    expect(error.message + error.stack).to.not.match(/sesame/);
  });

  /** Until the request came that the server does not answer. */
  const untilHung = () => until(() => fleet.server.unconsumedFaults().length === 0);

  /** All that Redis holds. */
  async function dump(): Promise<string> {
    const keys = await fleet.redis.keys('*');
    const values = await Promise.all(keys.map((key) => fleet.redis.dump(key)));
    return values.join('\n');
  }
});

function* chunks(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.byteLength; at += 50_000) yield content.subarray(at, at + 50_000);
}
