import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect } from 'chai';
import { eventRows, eventsSchema } from '../../scripts/events-schema.js';
import { createBitsServer } from '../../src/testing/index.js';
import { OF_A_FLEET } from '../cli/fleet-events.js';
import { Spawned } from '../cli/spawned.js';
import { describeWith } from '../interop/support/installed.js';
import { writePatterned } from '../support/files.js';
import { REDIS } from '../support/redis.js';
import { Relay } from '../support/relay.js';
import { Fleet, told } from './fleet.js';

const KIB = 1024;

describeWith('the command line of a fleet', [REDIS], () => {
  const fleet = Fleet.forSuite();
  const isEvent = new Ajv({ allowUnionTypes: true }).compile(eventsSchema({ isStrict: true }));
  const seen = new Set<string>();

  /** The password is one that no output may hold. */
  const withPassword = (url: string): string => url.replace('//', '//default:sesame@');
  const command = (name: string, ...args: string[]): Spawned =>
    commandAt(fleet.redisServer.url, name, ...args);
  const commandAt = (redisUrl: string, name: string, ...args: string[]): Spawned =>
    new Spawned([name, '--queue', fleet.queue.name, ...args], {
      env: { BITS_UPLOAD_REDIS: withPassword(redisUrl) },
      timeoutMs: 50_000,
    });

  async function done(spawned: Spawned): Promise<{ code: number | null; lines: string[] }> {
    const { code } = await spawned.ended();
    expect(spawned.stdout + spawned.stderr).to.not.match(/sesame/);
    return { code, lines: spawned.stdout.split('\n').filter(Boolean) };
  }

  const events = (spawned: Spawned): Record<string, unknown>[] =>
    spawned.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const event = JSON.parse(line);
        seen.add(event.type);
        expect(isEvent(event), `${line}\n${JSON.stringify(isEvent.errors)}`).to.equal(true);
        return event;
      });

  before(async () => {
    // Whoever gives no password is "default" all the same; one that is given has to be right.
    await fleet.redis.config('SET', 'requirepass', 'sesame');
  });

  it('enqueues a tree, uploads it with a worker, and tells of both', async () => {
    const tree = fleet.path('photos');
    await mkdir(join(tree, '2026'), { recursive: true });
    const content = await writePatterned(join(tree, '2026', 'sea.jpg'), 300 * KIB);
    await writePatterned(join(tree, 'b.tmp'), 10);
    const worker = command('worker', '--json', '--name', 'w1', '--directory', tree);
    const enqueued = await done(
      command(
        'enqueue',
        '-r',
        '--exclude',
        '*.tmp',
        '--fragment-size=64KiB',
        tree,
        fleet.server.url,
      ),
    );
    expect(enqueued.code).to.equal(0);
    expect(enqueued.lines).to.have.lengthOf(1);
    expect(enqueued.lines[0]).to.match(
      /^[0-9a-f-]{36} {2}.*sea\.jpg -> http:.*photos\/2026\/sea\.jpg$/,
    );
    await worker.said(/"job-done"/);
    const shown = await done(command('fleet'));
    expect(shown.lines[0]).to.match(/workers: w1$/);
    expect(shown.lines[1]).to.match(/0 waiting, 0 delayed, 1 completed, 0 failed/);
    worker.kill('SIGTERM');
    expect((await done(worker)).code).to.equal(143);
    const types = events(worker).map(({ type }) => type);
    expect(types).to.include.members(['ready', 'started', 'job-progress', 'job-done']);
    expect(await fleet.arrived('photos/2026/sea.jpg')).to.deep.equal(content);
    fleet.server.assertNoViolations();
  });

  it('has the workers write replies into a directory, by the paths of the files', async () => {
    await fleet.serve({ reply: ({ url }) => Buffer.from(new URL(url).pathname) });
    const tree = fleet.path('orders');
    const replies = fleet.path('replies');
    await mkdir(join(tree, 'new'), { recursive: true });
    await writePatterned(join(tree, 'a.xml'), 10);
    await writePatterned(join(tree, 'new', 'b.xml'), 10);
    const args = ['-r', '--reply-dir', replies, tree, fleet.server.url];
    expect((await done(command('enqueue', '--dry-run', ...args))).code).to.equal(0);
    expect(await readdir(fleet.path())).to.not.include('replies');
    expect((await done(command('enqueue', ...args))).lines).to.have.lengthOf(2);
    const worker = command('worker', '--json', '--directory', tree, '--directory', replies);
    await worker.said(/"job-done"[\s\S]*"job-done"/);
    worker.kill('SIGTERM');
    await done(worker);
    const reply = (path: string): Promise<string> => readFile(join(replies, path), 'utf8');
    expect(await reply('orders/a.xml')).to.equal('/orders/a.xml');
    expect(await reply('orders/new/b.xml')).to.equal('/orders/new/b.xml');
    fleet.server.assertNoViolations();
  });

  it('suspends its uploads at SIGTERM, and shows them again with another worker', async () => {
    await fleet.file('long.bin', 1024 * KIB);
    fleet.server.addFault({ on: 'fragment', nth: 4, do: 'hang' });
    const first = command('worker', '--json', '--fragment-size=128KiB');
    await first.said(/"ready"/);
    const enqueue = command('enqueue', '--json', fleet.path('long.bin'), fleet.server.url);
    await done(enqueue);
    expect(events(enqueue)).to.have.lengthOf(1);
    await fleet.server.waitForRequest('fragment', 4);
    const shown = command('fleet', '--json');
    await done(shown);
    const [status, upload] = events(shown);
    expect(status).to.include({ type: 'fleet', active: 1, queue: fleet.queue.name });
    expect(upload).to.include({ type: 'fleet-upload', file: fleet.path('long.bin') });
    first.kill('SIGTERM');
    expect((await done(first)).code).to.equal(143);
    expect(events(first).at(-1)).to.include({ type: 'returned' });
    const second = command('worker');
    await second.said(/long\.bin\n/);
    second.kill('SIGINT');
    expect((await done(second)).code).to.equal(130);
    expect(fleet.server.uploads).to.have.lengthOf(1);
    fleet.server.assertNoViolations();
  });

  it('sends a password only to the servers of --origin', async () => {
    await fleet.file('named.bin', 10);
    const other = await createBitsServer();
    const challenge = { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } };
    fleet.server.addFault({ on: 'create-session', do: challenge });
    other.addFault({ on: 'create-session', do: challenge });
    const worker = new Spawned(
      ['worker', '--queue', fleet.queue.name, '-u', 'me', '--origin', fleet.server.url, '--json'],
      {
        env: {
          BITS_UPLOAD_REDIS: withPassword(fleet.redisServer.url),
          BITS_UPLOAD_PASSWORD: 'sesame',
        },
      },
    );
    await worker.said(/"ready"/);
    for (const { url } of [fleet.server, other]) {
      await done(command('enqueue', fleet.path('named.bin'), url));
    }
    await worker.said(/"job-done"/);
    await worker.said(/"job-failed"/);
    worker.kill('SIGTERM');
    await done(worker);
    expect(fleet.server.log.some(({ headers }) => headers.authorization !== undefined)).to.equal(
      true,
    );
    expect(other.log.some(({ headers }) => headers.authorization !== undefined)).to.equal(false);
    await other.close();
    const failed = await done(command('fleet'));
    expect(failed.lines.at(-1)).to.match(/^failed .*named\.bin.*BITS_ERR_AUTH/);
    const inJson = command('fleet', '--json');
    await done(inJson);
    expect([...events(worker), ...events(inJson)].at(-1)).to.include({ type: 'fleet-failure' });
  });

  it('wants the servers named that may get its credentials, a certificate included', async () => {
    const cert = fleet.path('client.pem');
    await writeFile(cert, '-----BEGIN CERTIFICATE-----\n');
    for (const secret of [
      ['--cert', cert],
      ['--header', 'X-Key: k'],
    ]) {
      const worker = command('worker', ...secret);
      expect((await done(worker)).code).to.equal(2);
      expect(worker.stderr).to.include('need --origin');
    }
  });

  it('cancels and retries jobs by their ids', async () => {
    await fleet.file('again.bin', 10);
    fleet.server.addFault({ on: 'create-session', do: { status: 403 } });
    const [id] = (
      await done(command('enqueue', fleet.path('again.bin'), fleet.server.url))
    ).lines.map((line) => line.split(' ')[0] ?? '');
    const worker = await fleet.worker({
      connection: withPassword(fleet.redisServer.url),
    });
    await told(worker, 'failed');
    const again = told(worker, 'done');
    expect((await done(command('fleet', '--retry', id ?? ''))).code).to.equal(0);
    await again;
    for (const [flag, of, why] of [
      ['--cancel', id, /cannot be cancelled: it is done/],
      ['--cancel', 'none', /cannot be cancelled: there is no such job/],
      ['--retry', 'none', /has not failed, or there is no such job/],
    ] as const) {
      const spawned = command('fleet', flag, of ?? '');
      expect((await done(spawned)).code).to.equal(1);
      expect(spawned.stderr).to.match(why);
    }
  });

  it('tells which files it could not enqueue, and enqueues the others', async () => {
    await fleet.file('there.bin', 10);
    const paths = ['there.bin', 'missing.bin'].map((name) => fleet.path(name));
    const spawned = command('enqueue', '--json', ...paths, fleet.server.url);
    expect((await done(spawned)).code).to.equal(3);
    expect(events(spawned).map(({ type }) => type)).to.have.members(['enqueued', 'error']);
    const dry = command('enqueue', '--dry-run', '--json', ...paths, fleet.server.url);
    expect((await done(dry)).code).to.equal(3);
    expect(events(dry)).to.deep.include({
      type: 'planned',
      file: paths[0],
      url: `${fleet.server.url}there.bin`,
      bytes: 10,
    });
    expect(await fleet.queue.getJobCounts('waiting', 'prioritized')).to.deep.equal({
      waiting: 0,
      prioritized: 1,
    });
  });

  it('ends in a bounded time when Redis is lost on the way, and says which jobs are in doubt', async () => {
    const [forEnqueue, forFleet] = await Promise.all([
      Relay.to(fleet.redisServer.port),
      Relay.to(fleet.redisServer.port),
    ]);
    try {
      await fleet.file('doubtful.bin', 10);
      void forEnqueue.cutAt('doubtful.bin');
      void forFleet.cutAt('prioritized');
      const path = fleet.path('doubtful.bin');
      const enqueue = commandAt(forEnqueue.url, 'enqueue', '--json', path, fleet.server.url);
      const shown = commandAt(forFleet.url, 'fleet', '--json');
      expect((await done(enqueue)).code).to.equal(1);
      const [failure] = events(enqueue);
      expect(failure).to.include({ type: 'error', code: 'BITS_ERR_STORE', file: path });
      expect(failure?.message).to.match(
        /not answered for 30 s.*may be in the queue as job (\S+)\. Before you enqueue it again, run bits-upload fleet --cancel \1: /,
      );
      expect((await done(shown)).code).to.equal(1);
      expect(events(shown).map(({ code }) => code)).to.deep.equal(['BITS_ERR_STORE']);
    } finally {
      forEnqueue.close();
      forFleet.close();
    }
  });

  const wrong: Record<string, [string[], RegExp]> = {
    'a queue without a Redis': [['fleet', '--redis='], /--redis is missing/],
    'a URL that is none of Redis': [['fleet', '--redis=http://sesame@x'], /--redis must be a URL/],
    'a password without --origin': [
      ['worker', '--redis=redis://127.0.0.1:1', '-u', 'me:open'],
      /need --origin/,
    ],
    'standard input': [
      ['enqueue', '--redis=redis://127.0.0.1:1', '-', 'http://x/y'],
      /no standard input, for Redis holds no files/,
    ],
    '--skip-existing': [
      ['enqueue', '--skip-existing', 'package.json', 'http://x/y'],
      /no option --skip-existing: it cannot ask.*put --skip-existing --dry-run/,
    ],
    '--remove-source': [
      ['enqueue', '--remove-source', 'package.json', 'http://x/y'],
      /no option --remove-source: whoever can write to Redis/,
    ],
    '--checksum': [
      ['enqueue', '--checksum', 'sha256', 'package.json', 'http://x/y'],
      /no option --checksum: .*in a job after the upload/,
    ],
    '--reply': [
      ['enqueue', '--reply', 'package.json', 'http://x/y'],
      /no option --reply: .*Use --reply-file or --reply-dir/,
    ],
    'two places for a reply': [
      [
        'enqueue',
        '--redis=redis://x',
        '--reply-file=a',
        '--reply-dir=b',
        'package.json',
        'http://x/y',
      ],
      /exclude each other/,
    ],
    'a limit of replies without a place for them': [
      ['enqueue', '--redis=redis://x', '--reply-optional', 'package.json', 'http://x/y'],
      /needs --reply-file or --reply-dir/,
    ],
    'a query in the URL': [
      ['enqueue', '--redis=redis://127.0.0.1:1', 'package.json', 'http://x/y?sig=sesame'],
      /has a query/,
    ],
  };
  for (const [what, [args, message]] of Object.entries(wrong)) {
    it(`refuses ${what} with exit code 2`, async () => {
      const spawned = new Spawned(args);
      expect((await done(spawned)).code).to.equal(2);
      expect(spawned.stderr).to.match(message);
    });
  }

  it('ends with exit code 1 when Redis refuses the password', async () => {
    const spawned = new Spawned(['worker', '--json'], {
      env: { BITS_UPLOAD_REDIS: fleet.redisServer.url.replace('//', '//default:open-sesame@') },
    });
    expect((await done(spawned)).code).to.equal(1);
    expect(spawned.stderr).to.match(/refused the user name or the password/);
    expect(events(spawned)[0]).to.include({ type: 'error', code: 'BITS_ERR_STORE' });
  });

  it('has printed every event that the documentation has for it', () => {
    const rows = eventRows().filter(({ text }) => OF_A_FLEET.test(text));
    expect([...seen]).to.include.members(rows.map(({ type }) => type));
  });

  it('says what to install where BullMQ is missing', async () => {
    const place = fleet.path('alone');
    await mkdir(join(place, 'node_modules'), { recursive: true });
    await symlink(join(process.cwd(), 'dist'), join(place, 'dist'));
    await writeFile(join(place, 'package.json'), '{ "type": "module" }');
    const spawned = new Spawned(['fleet', '--redis', fleet.redisServer.url], {
      script: ['--preserve-symlinks', '--preserve-symlinks-main', ...(await withoutBullmq(place))],
    });
    const { code } = await done(spawned);
    expect(spawned.stderr).to.match(/npm install bullmq ioredis/);
    expect(code).to.equal(2);
  });

  /** The program with all packages but the optional ones. */
  async function withoutBullmq(place: string): Promise<string[]> {
    const modules = join(process.cwd(), 'node_modules');
    for (const name of await readdir(modules)) {
      if (name === 'bullmq' || name === 'ioredis') continue;
      await symlink(join(modules, name), join(place, 'node_modules', name));
    }
    return [join(place, 'dist', 'cli', 'main.js')];
  }
});
