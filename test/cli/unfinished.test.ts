import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { quoteArgument } from '../../src/cli/resume-command.js';
import { createFileStore, type JobStore } from '../../src/index.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
  type Fault,
} from '../../src/testing/index.js';
import { skip, skipOnWindows } from '../support/skip.js';
import { runCli } from './capture.js';
import { Spawned } from './spawned.js';

const KIB = 1024;
const NO_SUCH_ID = 'ffffffff-ffff-7fff-bfff-ffffffffffff';

describe('an unfinished upload', () => {
  let directory: string;
  let state: string;
  let server: BitsServer;
  let file: string;
  let store: JobStore;
  const content = randomBytes(100 * KIB);

  const serve = async (options: BitsServerOptions = {}): Promise<void> => {
    server = await createBitsServer(options);
  };

  const bits = (...args: string[]) => runCli(args, { state });

  const broken: Fault = { on: 'fragment', nth: 4, do: { status: 503 } };

  /** An upload of which 30 KiB are acknowledged when its server fails. */
  const fail = (...args: string[]) =>
    bits('put', '--retries=0', '--fragment-size=10KiB', ...args, file, `${server.url}x.bin`);

  async function leftBehind(name = 'x.bin', ...args: string[]): Promise<string> {
    server.addFault(broken);
    const before = new Set((await store.list()).records.map(({ id }) => id));
    await bits('put', '--retries=0', '--fragment-size=10KiB', ...args, file, server.url + name);
    const { records } = await store.list();
    const [added] = records.filter(({ id }) => !before.has(id));
    if (added === undefined) throw new Error('no record was left');
    return added.id;
  }

  const recordName = async () =>
    (await readdir(state)).find((name) => name.endsWith('.json')) ?? expect.fail('no record');
  const recorded = async () => (await store.list()).records.map(({ id }) => id);
  const kinds = () => server.log.map(({ packet }) => packet);
  const fragmentBytes = () =>
    server.log.reduce(
      (sum, { packet, bodyBytes }) => (packet === 'fragment' ? sum + bodyBytes : sum),
      0,
    );

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-cli-'));
    state = join(directory, 'state');
    file = join(directory, 'dump.bin');
    store = createFileStore({ directory: state });
    await writeFile(file, content);
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  describe('after put', () => {
    it('is stored with the command that resumes it, without secrets, and the exit code is 5', async () => {
      await serve({ faults: [broken] });
      const { code, stderr, events } = await fail('--json', '--header', 'X-Key: s3cret');
      expect(code).to.equal(5);
      const [id] = await recorded();
      expect(events().at(-1)).to.include({
        code: 'BITS_ERR_SERVER',
        id,
        resumable: true,
        resumeCommand: `bits-upload resume ${id} --state-dir ${state} --retries 0 --header ${quoteArgument('X-Key: …')}`,
      });
      expect(stderr).to.contain(`to resume it: bits-upload resume ${id} --state-dir`);
      const files = await readdir(state);
      const record = await readFile(join(state, files.find((n) => n.endsWith('.json')) ?? ''));
      expect(String(record) + stderr).not.to.contain('s3cret');
    });

    it('is resumed by the same command, which reports it', async () => {
      await serve({ faults: [broken] });
      await fail();
      const { code, stderr, events } = await bits('put', '--json', file, `${server.url}x.bin`);
      expect(code).to.equal(0);
      const { id } = events().at(-1) ?? {};
      expect(stderr).to.equal(
        `${file}: resuming upload ${id}: 30.0 KiB of 100.0 KiB are on the server\n`,
      );
      expect(events().find(({ type }) => type === 'state')).to.include({ id, resumed: true });
      expect(events().at(-1)).to.include({ type: 'result', id, resumed: true });
      expect(fragmentBytes()).to.be.lessThan(110 * KIB + 5 * KIB);
      expect(await readFile(join(server.root, 'x.bin'))).to.deep.equal(content);
      expect(await recorded()).to.be.empty;
      server.assertNoViolations();
    });

    it('is resumed with a message, and without one with --quiet', async () => {
      await serve({ faults: [broken, { ...broken, nth: 6 }] });
      await fail();
      const loud = await fail();
      expect(loud.stderr).to.match(/resuming upload .*: 30\.0 KiB of 100\.0 KiB/);
      const quiet = await bits('put', '--quiet', file, `${server.url}x.bin`);
      expect(quiet).to.include({ code: 0, stderr: '' });
    });

    it('is cancelled by --no-resume, together with its session', async () => {
      await serve({ faults: [broken] });
      await fail();
      const { code, stderr, events } = await bits(
        ...['put', '--json', '--no-resume', file, `${server.url}x.bin`],
      );
      expect(code).to.equal(0);
      expect(events().at(-1)).to.include({ resumed: false, bytesSent: 100 * KIB });
      expect(stderr).not.to.contain('resuming');
      expect(kinds().indexOf('cancel-session')).to.be.greaterThan(0);
      expect(kinds().indexOf('cancel-session')).to.be.lessThan(
        kinds().lastIndexOf('create-session'),
      );
      expect(await recorded()).to.be.empty;
    });

    it('is not stored for standard input, and the exit code is 1', async () => {
      await serve({ faults: [{ ...broken, nth: 1 }] });
      const args = ['put', '--json', '--retries=0', '-', `${server.url}in`];
      const { code, stderr, events } = await runCli(args, { stdin: 'from a pipe', state });
      expect(code).to.equal(1);
      expect(events().at(-1)).to.include({ resumable: false });
      expect(stderr).not.to.contain('to resume it');
    });

    for (const [what, bad] of [
      ['is a file', () => file],
      ['is below a file', () => join(file, 'state')],
      ['cannot be written', () => '/sys/bits-upload'],
      ['can never be', () => '/proc/bits-upload'],
    ] as const) {
      it(`is not stored if the directory ${what}, but the upload continues with one warning`, async function () {
        if (/cannot|never/.test(what) && process.platform !== 'linux') skip(this, 'needs Linux');
        await serve();
        const { code, stderr } = await bits(
          ...[
            'put',
            '--quiet',
            '--fragment-size=10KiB',
            '--state-dir',
            bad(),
            file,
            `${server.url}x.bin`,
          ],
        );
        expect(code).to.equal(0);
        expect(stderr.match(/\n/g)).to.have.lengthOf(1);
        expect(stderr).to.match(/^bits-upload: warning: .*cannot be resumed: .*/);
      });
    }

    it('is not stored if the disk is full, but the upload continues with at most one warning', async function () {
      const tmpfs = ['-t', 'tmpfs', '-o', 'size=48k', 'tmpfs', state];
      await mkdir(state);
      if (process.platform !== 'linux' || spawnSync('mount', tmpfs).status !== 0)
        skip(this, 'needs the right to mount on Linux');
      try {
        await serve();
        const seen = new Set<string>();
        // From no room at all to enough for a lock and a record.
        for (let pages = 12; pages >= 9; pages--) {
          await writeFile(join(state, 'fill'), Buffer.alloc(pages * 4096)).catch(() => {});
          const { code, stderr } = await bits(
            ...['put', '--quiet', '--fragment-size=10KiB', file, `${server.url}${pages}`],
          );
          expect(code).to.equal(0);
          const lines = stderr.split('\n').filter((line) => line !== '');
          expect(lines).to.have.length.at.most(1);
          seen.add(lines[0]?.replace(/:[^:]*disk is full.*/, '') ?? '');
        }
        expect(seen).to.have.property('size').at.least(3);
        expect([...seen].join('\n')).to.match(/warning: .*cannot be resumed/);
      } finally {
        spawnSync('umount', [state]);
      }
    });

    it('is in the directory of --state-dir, or else in that of the environment', async () => {
      await serve();
      const other = join(directory, 'other');
      await leftBehind();
      server.addFault(broken);
      await fail('--state-dir', other);
      expect((await createFileStore({ directory: other }).list()).records).to.have.lengthOf(1);
      expect(await recorded()).to.have.lengthOf(1);
      expect((await bits('put', '--state-dir', '', file, server.url)).code).to.equal(2);
    });

    it('can be resumed with credentials after a refusal with exit code 4', async () => {
      await serve({ faults: [{ on: 'fragment', nth: 2, do: { status: 401 } }] });
      const { code, events } = await fail('--json');
      expect(code).to.equal(4);
      expect(events().at(-1)).to.include({ code: 'BITS_ERR_AUTH', resumable: true });
      expect((await bits('resume', '--header', 'Authorization: x')).code).to.equal(0);
    });

    it('is not stored for a file that changes meanwhile, and the exit code is 6', async () => {
      await serve({ faults: [{ on: 'fragment', nth: 2, do: { delayMs: 300 } }] });
      const put = fail();
      await server.waitForRequest('fragment');
      await writeFile(file, randomBytes(100 * KIB));
      const { code, stderr } = await put;
      expect(code).to.equal(6);
      expect(stderr).to.contain('changed during the upload').and.not.to.contain('to resume it');
      expect(await recorded()).to.be.empty;
      expect(kinds().at(-1)).to.equal('cancel-session');
    });

    it('is left to the process that runs it, which is named, and the exit code is 1', async function () {
      skipOnWindows(this, 'signals');
      await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const args = ['put', '--fragment-size=10KiB', file, `${server.url}x.bin`];
      const first = new Spawned(args, { state });
      await server.waitForRequest('fragment', 2);
      const { pid } = first.process;

      const second = await bits(...args);
      expect(second.code).to.equal(1);
      expect(second.stderr).to.contain(`Process ${pid} on ${hostname()} is uploading this file`);
      const [id = ''] = await recorded();
      expect((await bits('jobs')).stdout).to.contain(`running, process ${pid} on ${hostname()}`);
      expect((await bits('cancel', id)).code).to.equal(1);
      expect((await bits('resume', id)).code).to.equal(1);
      const all = await bits('resume', '--all');
      expect(all.code).to.equal(0);
      expect(all.stderr).to.contain(
        `skipped, because process ${pid} on ${hostname()} is uploading it`,
      );
      expect((await bits('prune', '--older-than=1ms')).stdout).to.equal('');

      first.kill('SIGTERM');
      expect(await first.ended()).to.include({ code: 143 });
      expect((await bits('resume', id)).code).to.equal(0);
      expect(await readFile(join(server.root, 'x.bin'))).to.deep.equal(content);
      expect(kinds()).not.to.include('cancel-session');
    });
  });

  describe('in the list of jobs', () => {
    it('has its id, progress, condition, age, file and URL', async () => {
      await serve();
      const id = await leftBehind('x.bin?sig=s3cret');
      const { code, stdout, stderr } = await bits('jobs');
      expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
      expect(stdout).to.equal(
        `${id}  30 %  of 100.0 KiB  failed  just now  ${file} -> ${server.url}x.bin?…\n`,
      );
    });

    it('is an object with --json', async () => {
      await serve();
      const id = await leftBehind();
      const [job = {}] = (await bits('jobs', '--json')).events();
      const { createdAt, updatedAt, ageMs, ...rest } = job;
      expect(rest).to.deep.equal({
        type: 'job',
        id,
        file,
        url: `${server.url}x.bin`,
        bytes: 30 * KIB,
        bytesTotal: 100 * KIB,
        state: 'error',
        source: 'unchanged',
        process: null,
      });
      expect(new Date(String(updatedAt)).getTime()).to.be.closeTo(Date.now(), 60_000);
      expect(String(createdAt)).to.match(/^\d{4}-\d\d-\d\dT/);
      expect(ageMs).to.be.within(0, 60_000);
    });

    it('can be absent or unreadable, which is reported', async () => {
      await serve();
      expect(await bits('jobs')).to.include({
        code: 0,
        stdout: '',
        stderr: `no unfinished uploads in ${state}\n`,
      });
      const { code, stderr } = await bits('jobs', '--state-dir', file);
      expect(code).to.equal(1);
      expect(stderr).to.contain(file);
    });

    it('has a note if its file changed or is missing', async () => {
      await serve();
      await leftBehind();
      await utimes(file, 1, 1);
      expect((await bits('jobs')).stdout).to.contain('  file changed  ');
      await rm(file);
      expect((await bits('jobs')).stdout).to.contain('  file missing  ');
    });

    it('is not hidden by records that cannot be read', async () => {
      await serve();
      const id = await leftBehind();
      const name = await recordName();
      await writeFile(join(state, name), '{"version":1,');
      const { code, stdout, stderr } = await bits('jobs');
      expect({ code, stdout }).to.deep.equal({ code: 0, stdout: '' });
      expect(stderr).to.contain(`${name}.unreadable-1`);
      expect((await bits('jobs', '--json')).events()).to.have.lengthOf(1);
      expect((await bits('resume', id)).code).to.equal(1);
    });
  });

  describe('with resume', () => {
    it('is found by its id, by the beginning of its id, or as the only one', async () => {
      await serve();
      for (const args of [(id: string) => id, (id: string) => id.slice(0, 9), () => undefined]) {
        const id = await leftBehind();
        const arg = args(id);
        const { code, stdout, stderr } = await bits('resume', ...(arg === undefined ? [] : [arg]));
        expect({ code, stdout }).to.deep.equal({ code: 0, stdout: `${server.url}x.bin\n` });
        expect(stderr).to.contain(`resuming upload ${id}: 30.0 KiB of`);
        expect(await readFile(join(server.root, 'x.bin'))).to.deep.equal(content);
        await rm(join(server.root, 'x.bin'));
      }
      expect(await recorded()).to.be.empty;
    });

    it('is resumed together with all others by --all', async () => {
      await serve();
      await leftBehind('1');
      await leftBehind('2');
      const which = await bits('resume');
      expect(which.code).to.equal(2);
      expect(which.stderr).to.contain('2 unfinished uploads');
      const { code, stdout } = await bits('resume', '--all');
      // Several are uploaded at once: either may end first.
      expect({ code, urls: stdout.split('\n').toSorted() }).to.deep.equal({
        code: 0,
        urls: ['', `${server.url}1`, `${server.url}2`],
      });
      expect(await bits('resume', '--all')).to.include({ code: 0, stdout: '' });
      expect(await bits('resume')).to.include({ code: 0, stdout: '' });
    });

    it('removes its file only with --remove-source, which the printed command has', async () => {
      await serve();
      server.addFault(broken);
      const { events } = await fail('--json', '--remove-source');
      const resumeCommand = String(events().at(-1)?.resumeCommand);
      expect(resumeCommand).to.contain(' --remove-source');
      server.addFault({ on: 'fragment', do: { status: 503 } });
      const again = await bits('resume', '--json', '--retries=0', '--remove-source');
      expect(again.events().at(-1)?.resumeCommand).to.contain(' --remove-source');
      expect(await bits('resume', '--remove-source')).to.include({ code: 0 });
      expect(await readFile(join(server.root, 'x.bin'))).to.deep.equal(content);
      expect(await readdir(directory)).to.not.include('dump.bin');

      await writeFile(file, content);
      await leftBehind('y.bin');
      expect((await bits('resume')).code).to.equal(0);
      expect(await readFile(file)).to.deep.equal(content);
    });

    it('keeps its file if that goes to another URL as well', async () => {
      await serve();
      await leftBehind('1');
      await leftBehind('2');
      const { code, stderr } = await bits('resume', '--all', '--remove-source');
      expect(code).to.equal(2);
      expect(stderr).to.contain(`${file} goes to several URLs`);
      expect((await bits('resume', '--all')).code).to.equal(0);
    });

    it('keeps its file with --remove-source if it is not sure that all of it is stored', async () => {
      await serve();
      await leftBehind();
      server.addFault({ on: 'close-session', do: 'reset-after-commit' });
      const { code, stderr } = await bits('resume', '--remove-source');
      expect(code).to.equal(0);
      expect(stderr).to.contain('not removed: the server has not acknowledged that it is stored');
      expect(await readFile(file)).to.deep.equal(content);
    });

    it('is resumed only if an id names exactly one', async () => {
      await serve();
      const first = await leftBehind('1');
      await leftBehind('2');
      for (const args of [[NO_SUCH_ID], [''], ['x'], [first.slice(0, 1)], ['--all', first]]) {
        const { code, stderr } = await bits('resume', ...args);
        expect(code, args.join(' ')).to.equal(2);
        expect(stderr).to.match(/no unfinished upload|is the beginning of 2 ids|exclude/);
      }
      expect((await bits('resume', first, first.slice(0, -1))).code).to.equal(0);
    });

    it('needs the query of its URL, which is not stored', async () => {
      await serve();
      const id = await leftBehind('x.bin?sig=s3cret');
      const without = await bits('resume', id);
      expect(without.code).to.equal(2);
      expect(without.stderr).to.contain('--url').and.not.to.contain('s3cret');
      const other = await bits('resume', id, '--url', `${server.url}y.bin?sig=s3cret`);
      expect(other.code).to.equal(2);
      const { code } = await bits('resume', id, '--url', `${server.url}x.bin?sig=s3cret`);
      expect(code).to.equal(0);
      expect(server.log.at(-1)?.target).to.equal('/x.bin?sig=s3cret');
    });

    it('needs a query in place of the mark in the printed command', async () => {
      await serve();
      const id = await leftBehind('x.bin?sig=s3cret');
      const requests = server.log.length;
      for (const command of ['resume', 'cancel']) {
        const { code, stderr } = await bits(command, id, '--url', `${server.url}x.bin?…`);
        expect(code).to.equal(2);
        expect(stderr).to.contain('write the query').and.not.to.contain('to resume it');
      }
      expect(server.log).to.have.lengthOf(requests);
    });

    it('is not resumed if its file is missing or has changed, and the exit code is 6', async () => {
      await serve();
      const gone = await leftBehind('1');
      await rm(file);
      const { code, stderr } = await bits('resume', '-H', 'X-Key: s3cret', gone);
      expect(code).to.equal(6);
      expect(stderr).to.contain(
        `with bits-upload cancel ${gone} --state-dir ${state} --header ${quoteArgument('X-Key: …')}\n`,
      );
      expect(await recorded()).to.deep.equal([gone]);

      await writeFile(file, 'something else');
      expect((await bits('resume', gone)).code).to.equal(6);
      expect(await recorded()).to.be.empty;
      expect(kinds().at(-1)).to.equal('cancel-session');
    });

    it('is resumed with a warning if its file has only another inode', async () => {
      await serve();
      await utimes(file, 1e9, 1e9);
      const id = await leftBehind();
      const copy = join(directory, 'copy');
      await writeFile(copy, content);
      await utimes(copy, 1e9, 1e9);
      await rename(copy, file);
      expect((await bits('jobs', '--json')).events()[0]).to.include({ source: 'unchanged' });
      const { code, stderr } = await bits('resume', id);
      expect(code).to.equal(0);
      expect(stderr)
        .to.match(/warning: .*\n/)
        .and.to.contain('30.0 KiB of 100.0 KiB');
      expect(kinds()).not.to.include('cancel-session');
    });

    it('gets credentials only if all uploads go to one host, or to one that is named', async () => {
      await serve();
      const other = await createBitsServer();
      try {
        await leftBehind('1');
        other.addFault(broken);
        const url = `${other.url.replace('127.0.0.1', 'localhost')}2`;
        await bits('put', '--retries=0', '--fragment-size=10KiB', file, url);
        for (const secret of [
          ['-u', 'me:x'],
          ['-H', 'X-Key: x'],
        ]) {
          for (const command of [
            ['resume', '--all'],
            ['prune', '--older-than=1ms'],
          ]) {
            const { code, stderr } = await bits(...command, ...secret);
            expect(code).to.equal(2);
            expect(stderr).to.contain('go to several hosts (127.0.0.1, localhost)');
          }
          expect((await bits('cancel', ...(await recorded()), ...secret)).code).to.equal(2);
        }
        expect(
          (await bits('resume', '--all', '--host', 'localhost', '-u', 'me:x')).stdout,
        ).to.equal(`${url}\n`);
        expect(await bits('resume', '--all', '-u', 'me:x')).to.include({ code: 0 });
        expect(await recorded()).to.be.empty;
      } finally {
        await other.close();
      }
    });

    it('does not stop the others when it fails', async () => {
      await serve();
      await leftBehind('1?query');
      await leftBehind('2');
      server.addFault({ on: 'fragment', do: { status: 503 } });
      const { code, stderr } = await bits('resume', '--all', '--retries=0');
      expect(code).to.equal(1);
      expect(stderr).to.contain('--url').and.to.contain('to resume it: bits-upload resume');
      const [left] = (await store.list()).records.filter(({ url }) => url.endsWith('2'));
      expect((await bits('resume', left?.id ?? '')).code).to.equal(0);
    });

    it('downloads its reply without another upload', async () => {
      await serve({ reply: () => 'the answer', faults: [{ on: 'reply', do: { status: 404 } }] });
      const replyFile = join(directory, 'answer');
      const args = ['--retries=0', '--reply-file', replyFile, file, `${server.url}x.bin`];
      expect((await bits('put', ...args)).code).to.equal(5);
      const sent = fragmentBytes();
      const [json] = (await bits('jobs', '--json')).events();
      expect(json).to.include({ replyFile, bytes: 100 * KIB });
      const { code, events } = await bits('resume', '--json');
      expect(code).to.equal(0);
      expect(events().at(-1)).to.include({ replyFile, replyBytes: 10, bytesSent: 0 });
      expect(await readFile(replyFile, 'utf8')).to.equal('the answer');
      expect(fragmentBytes()).to.equal(sent);
      server.assertNoViolations();
    });

    it('downloads a reply that was too large if --max-reply-size is raised', async () => {
      await serve({ reply: () => 'the answer' });
      const replyFile = join(directory, 'answer');
      const args = ['--reply-file', replyFile, '--max-reply-size=9', '--on-uncertain=restart'];
      const put = await bits('put', '--retries=0', ...args, file, `${server.url}x.bin`);
      expect(put.code).to.equal(5);
      expect(put.stderr).to.contain('larger than 9 bytes').and.to.contain('--max-reply-size');
      expect(put.stderr).to.contain(' --on-uncertain restart --max-reply-size 9\n');
      const other = await bits('resume', '--retries=0', '--reply-optional');
      expect(other.code).to.equal(5);
      expect(other.stderr).to.contain('larger than 9 bytes');
      expect((await bits('resume', '--max-reply-size=10')).code).to.equal(0);
      expect(await readFile(replyFile, 'utf8')).to.equal('the answer');
    });

    for (const place of [['--reply-file', 'answer'], ['--reply']]) {
      it(`needs no reply any more with --reply-optional after put ${place[0]}`, async () => {
        await serve({ reply: () => undefined });
        const [flag = '', name] = place;
        const where = name === undefined ? [flag] : [flag, join(directory, name)];
        const put = await bits('put', '--retries=0', ...where, file, `${server.url}x.bin`);
        expect(put.code).to.equal(5);
        expect(put.stderr).to.contain('announced no reply').and.contain('give --reply-optional');
        const again = name === undefined ? [flag] : [];
        expect((await bits('resume', '--retries=0', ...again)).code).to.equal(5);
        expect((await bits('resume', '--reply-optional', ...again)).code).to.equal(0);
        expect(await readdir(directory)).to.not.include('answer');
        expect(await readFile(join(server.root, 'x.bin'))).to.deep.equal(content);
        server.assertNoViolations();
      });
    }

    it('writes its reply to standard output only if --reply is given again', async () => {
      await serve({ reply: () => 'the answer', faults: [{ on: 'reply', do: { status: 404 } }] });
      await bits('put', '--retries=0', '--reply', file, `${server.url}x.bin`);
      const { code, stderr } = await bits('resume');
      expect(code).to.equal(2);
      expect(stderr).to.contain('--reply');
      expect(await bits('resume', '--reply')).to.include({ code: 0, stdout: 'the answer' });
    });

    it('gets no reply if it was started without one', async () => {
      await serve();
      await leftBehind();
      expect((await bits('resume', '--reply')).code).to.equal(2);
      expect((await bits('resume', '--json', '--reply')).code).to.equal(2);
      expect((await bits('resume', '--reply', '--reply-file=x')).code).to.equal(2);
      expect((await bits('resume', '--all', '--reply')).code).to.equal(2);
    });
  });

  describe('with cancel', () => {
    it('is cancelled although its file is missing, and its session is freed', async () => {
      await serve();
      const id = await leftBehind();
      await rm(file);
      const { code, stdout, stderr } = await bits('cancel', id.slice(0, 20), '--header', 'X-A: b');
      expect({ code, stdout }).to.deep.equal({ code: 0, stdout: `${id}\n` });
      expect(stderr).to.contain('upload cancelled');
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
      expect(server.log.at(-1)?.headers).to.include({ 'x-a': 'b' });
      expect(await recorded()).to.be.empty;
    });

    it('is kept and can be cancelled again when the server does not remove the session', async () => {
      await serve();
      const id = await leftBehind();
      server.addFault({ on: 'cancel-session', do: { status: 503 } });
      const { code, stderr, events } = await bits('cancel', '--json', '--retries=0', id);
      expect(code).to.equal(1);
      const [{ message, retryable, ...error } = {}, ...others] = events();
      expect(others).to.deep.equal([]);
      const url = `${server.url}x.bin`;
      expect(error).to.deep.equal({
        type: 'error',
        file,
        url,
        code: 'BITS_ERR_SERVER',
        status: 503,
      });
      expect(stderr).to.contain('did not confirm that it removed the session').and.contain(message);
      expect(await recorded()).to.deep.equal([id]);
      expect(await bits('cancel', id)).to.include({ code: 0, stdout: `${id}\n` });
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
      expect(await recorded()).to.be.empty;
    });

    for (const [what, command] of [
      ['cancel', (ids: string[]) => ['cancel', ...ids]],
      ['prune', () => ['prune', '--older-than=1ms']],
      ['resume', () => ['resume', '--all', '--transfers=1']],
    ] as const) {
      it(`is kept, and no other is tried with ${what}, when the password is wrong`, async () => {
        await serve();
        const ids = [await leftBehind('1'), await leftBehind('2'), await leftBehind('3')];
        const headers = { 'WWW-Authenticate': 'Basic realm="x"' };
        server.addFault({ on: 'any', times: 99, do: { status: 401, headers } });
        const { code, stderr } = await bits(...command(ids), '-u', `me:wrong ${what}`);
        expect(code).to.equal(4);
        expect(server.log.filter((request) => request.headers.authorization)).to.have.lengthOf(1);
        expect(stderr).to.contain(`not begun: 127.0.0.1:${server.port} refuses the credentials`);
        expect(await recorded()).to.deep.equal(ids);
      });
    }

    it('is kept, and can be cancelled later, when the server is down', async () => {
      await serve();
      const id = await leftBehind();
      const { port } = server;
      await server.close();
      const { code, stderr } = await bits('cancel', '--connect-timeout=10ms', id);
      expect(code).to.equal(1);
      expect(stderr).to.contain('the record is kept').and.to.contain('refused the connection');
      expect(await recorded()).to.deep.equal([id]);
      server = await createBitsServer({ port });
      expect((await bits('cancel', id)).code).to.equal(0);
      expect(await recorded()).to.be.empty;
    });

    it('is kept, like the others, when a signal ends the wait for the server', async function () {
      skipOnWindows(this, 'signals');
      await serve();
      const ids = [await leftBehind('1'), await leftBehind('2')];
      server.addFault({ on: 'cancel-session', do: 'hang' });
      const program = new Spawned(['cancel', ...ids], { state });
      await server.waitForRequest('cancel-session');
      program.kill('SIGINT');
      expect(await program.ended()).to.deep.equal({ code: 130, signal: null });
      expect(program.stdout).to.equal('');
      expect(program.stderr).to.equal('bits-upload: stopped by SIGINT\n');
      expect(await recorded()).to.deep.equal(ids);
      expect(await bits('cancel', '--quiet', ...ids)).to.deep.include({ code: 0, stderr: '' });
      expect(await recorded()).to.be.empty;
    });

    it('is cancelled with any destination of its reply', async () => {
      await serve({
        reply: () => 'the answer',
        faults: [{ on: 'reply', times: 2, do: { status: 404 } }],
      });
      const taken = join(directory, 'answer');
      await bits('put', '--retries=0', '--reply', file, `${server.url}1`);
      await bits('put', '--retries=0', '--reply-file', taken, file, `${server.url}2`);
      await writeFile(taken, 'of somebody else');
      expect((await bits('cancel', ...(await recorded()))).code).to.equal(0);
      expect(await recorded()).to.be.empty;
      expect(await readFile(taken, 'utf8')).to.equal('of somebody else');
      expect(kinds().filter((kind) => kind === 'cancel-session')).to.have.lengthOf(2);
    });

    it('is cancelled only by an id', async () => {
      await serve();
      await leftBehind();
      expect((await bits('cancel')).code).to.equal(2);
      expect((await bits('cancel', NO_SUCH_ID)).code).to.equal(2);
      expect(await recorded()).to.have.lengthOf(1);
    });
  });

  describe('with prune', () => {
    it('is discarded if its file is missing or has changed, and kept otherwise', async () => {
      await serve();
      const id = await leftBehind('1?query');
      expect(await bits('prune')).to.include({ code: 0, stdout: '', stderr: '' });
      await rm(file);
      const { code, stdout, stderr } = await bits('prune');
      expect({ code, stdout }).to.deep.equal({ code: 0, stdout: `${id}\n` });
      expect(stderr).to.contain('because the file is missing');
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });

      await writeFile(file, content);
      await leftBehind('2');
      await writeFile(file, 'something else');
      expect((await bits('prune', '--json')).events()).to.have.lengthOf(1);
      expect(await recorded()).to.be.empty;
    });

    it('is discarded if it is too old, even if its server is down', async () => {
      await serve();
      const id = await leftBehind();
      await server.close();
      expect((await bits('prune', '--older-than', '7d')).stdout).to.equal('');
      const { code, events } = await bits('prune', '--json', '--older-than=1ms');
      expect(code).to.equal(0);
      expect(events()[0]).to.include({ type: 'result', id, freed: false });
      expect(await recorded()).to.be.empty;
      expect((await bits('prune', '--older-than', '7')).code).to.equal(2);
    });

    it('is independent of unreadable records, which are deleted only with --unreadable', async () => {
      await serve();
      await leftBehind();
      const name = await recordName();
      await writeFile(join(state, name), 'damaged');
      const foreign = join(state, 'mine.json');
      await writeFile(foreign, '{}');
      const aside = `${name}.unreadable-1`;
      const listed = await bits('prune');
      expect(listed).to.include({ code: 0, stdout: '' });
      expect(listed.stderr).to.contain(aside).and.to.contain(foreign);
      expect(await readdir(state)).to.include(aside);

      const { events } = await bits('prune', '--json', '--unreadable');
      const told = events().map(({ where, removed }) => ({ where, removed }));
      expect(told).to.have.deep.members([
        { where: join(state, aside), removed: true },
        { where: foreign, removed: false },
      ]);
      expect(await readdir(state)).not.to.include(aside);
      expect(await readFile(foreign, 'utf8')).to.equal('{}');
    });

    it('is not discarded if the directory cannot be read, and the exit code is 1', async () => {
      await serve();
      await mkdir(state);
      expect((await bits('prune', '--state-dir', file)).code).to.equal(1);
      expect((await bits('cancel', NO_SUCH_ID, '--state-dir', file)).code).to.equal(1);
      expect((await bits('resume', '--state-dir', file)).code).to.equal(1);
    });
  });
});
