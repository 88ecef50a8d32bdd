import { execFileSync } from 'node:child_process';
import {
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { skip, skipOnWindows } from '../support/skip.js';
import { ntlmGuard, startAuthServer } from '../transport/auth/auth-server.js';
import { NTLM_USER } from '../transport/auth/ntlm-server.js';
import { runCli } from './capture.js';

const SECRET = 's3cret-Pa55word';

describe('the files of --trace and --log-file', () => {
  let directory: string;
  let server: BitsServer;
  let trace: string;
  let log: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-output-'));
    server = await createBitsServer();
    trace = join(directory, 'trace.jsonl');
    log = join(directory, 'log.txt');
    await writeFile(join(directory, 'a.bin'), Buffer.alloc(200_000));
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  const runWith = (...args: string[]) => runCli(args, { state: join(directory, 'state') });
  const put = (...args: string[]) =>
    runWith('put', '--fragment-size=64KiB', ...args, join(directory, 'a.bin'), server.url);

  const eventsOf = async (path: string): Promise<Record<string, unknown>[]> => {
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line));
  };

  it('hold every packet and answer, with headers, sizes and times', async () => {
    server.addFault({ on: 'fragment', nth: 2, do: { status: 503 } });
    expect(await put('--trace', trace)).to.include({ code: 0 });
    const events = await eventsOf(trace);
    expect(events.at(0)).to.include({ event: 'start', command: 'put' });
    expect(events.at(-1)).to.include({ event: 'end' });
    const sent = events.filter(({ event }) => event === 'request');
    const packets = server.log.map(({ packet }) => packet);
    expect(sent.map(({ packet }) => packet)).to.deep.equal(packets);
    expect(sent[1]).to.deep.include({ method: 'BITS_POST', bodyBytes: 65_536 });
    expect(sent[1]?.headers).to.include({ 'Content-Range': 'bytes 0-65535/200000' });
    const answers = events.filter(({ event }) => event === 'response');
    expect(answers.map(({ status }) => status)).to.deep.equal(server.log.map((one) => one.status));
    expect(answers[0]?.elapsedMs).to.be.a('number');
    const [retry] = events.filter(({ event }) => event === 'retry');
    expect(retry?.errors).to.have.nested.property('[0].code', 'BITS_ERR_SERVER');
  });

  it('hold no secret, and nobody else can read them', async () => {
    const header = `Authorization: Bearer ${SECRET}`;
    const args = ['put', '--trace', trace, '--log-file', log, '-vv', '-H', header];
    const url = `${server.url}x?sig=${SECRET}`;
    const { code, stderr } = await runWith(...args, join(directory, 'a.bin'), url);
    expect(code, stderr).to.equal(0);
    for (const file of [trace, log]) {
      expect(await readFile(file, 'utf8'))
        .to.contain('fragment')
        .and.not.to.contain(SECRET);
      if (process.platform !== 'win32') expect((await stat(file)).mode & 0o777).to.equal(0o600);
    }
    expect(await readFile(trace, 'utf8')).to.contain('"Authorization":"[redacted]"');
  });

  it('are traces of what went wrong, too', async () => {
    const gone = await startRawServer();
    await gone.close();
    const url = `http://127.0.0.1:${gone.port}/x`;
    await runWith('put', '--trace', trace, '--retries=0', join(directory, 'a.bin'), url);
    const events = await eventsOf(trace);
    const [failure] = events.filter(({ event }) => event === 'failure');
    expect(JSON.stringify(failure?.errors)).to.contain('ECONNREFUSED');
  });

  it('are traces of ping, resume, cancel and prune', async () => {
    server.addFault({ on: 'fragment', nth: 2, do: { status: 403 } });
    await put();
    const traced = async (...args: string[]) => {
      const file = join(directory, args[0] ?? '');
      await runWith(...args, '--trace', file);
      return (await eventsOf(file)).flatMap(({ event, packet }) =>
        event === 'request' ? [packet] : [],
      );
    };
    expect(await traced('ping', server.url)).to.deep.equal(['ping']);
    expect(await traced('resume')).to.include.members(['ping', 'fragment', 'close-session']);
    server.addFault({ on: 'fragment', do: { status: 403 } });
    await runWith('put', join(directory, 'a.bin'), `${server.url}y/`);
    await rm(join(directory, 'a.bin'));
    expect(await traced('prune')).to.deep.equal(['cancel-session']);
  });

  it('hold each round of authentication, with the names of the schemes alone', async () => {
    const guard = ntlmGuard({ others: ['Digest realm="r", nonce="s3cret-nonce"'] });
    const guarded = await startAuthServer(guard);
    try {
      const user = `${NTLM_USER.username}:${NTLM_USER.password}`;
      const url = `${guarded.url('/in/?sig=')}${SECRET}`;
      const args = ['--ntlm', '-u', user, '--trace', trace, url];
      expect(await runWith('ping', ...args)).to.include({ code: 0 });
      const events = await eventsOf(trace);
      const rounds = events.filter(({ event }) => event === 'authentication');
      const { host } = new URL(url);
      const common = { peer: host, method: 'BITS_POST', isHandshake: false, keepsConnection: true };
      for (const round of rounds) {
        expect(round).to.include(common);
        expect(round.target).to.match(/^\/in\/[\w-]+\?…$/);
      }
      expect(rounds.map(({ scheme, status, offers }) => [scheme, status, offers])).to.deep.equal([
        [undefined, 401, ['ntlm', 'digest']],
        ['NTLM', 401, ['ntlm']],
        ['NTLM', 200, []],
      ]);
      const kinds = events.map(({ event }) => event);
      expect(kinds.indexOf('request')).to.be.below(kinds.indexOf('authentication'));
      expect(kinds.lastIndexOf('authentication')).to.be.below(kinds.indexOf('response'));
      const text = await readFile(trace, 'utf8');
      for (const secret of [SECRET, 's3cret-nonce', NTLM_USER.password, 'TlRMTVNT']) {
        expect(text).to.not.contain(secret);
      }
    } finally {
      await guarded.close();
    }
  });

  it('hold the questions of --skip-existing', async () => {
    expect(await put('--trace', trace, '--skip-existing')).to.include({ code: 0 });
    const heads = (await eventsOf(trace)).filter(({ packet }) => packet === 'head');
    expect(heads.map(({ event, method }) => [event, method])).to.deep.equal([
      ['request', 'HEAD'],
      ['response', 'HEAD'],
    ]);
  });

  it('keep what a hostile server sends printable', async () => {
    const hostile = await startRawServer({
      onRequest: ({ connection }) =>
        connection.socket.write(answer(500, { 'X-Request-Id': 'a\u009b31mb' })),
    });
    try {
      await runWith('ping', '--trace', trace, `${hostile.url('/')}`);
      expect(await readFile(trace, 'utf8'))
        .to.contain('\\u009b31m')
        .and.not.match(/[\u0000-\u0009\u007f-\u009f]/);
    } finally {
      await hostile.close();
    }
  });

  it('are refused by --trace when they exist, and links too', async () => {
    await writeFile(trace, 'precious');
    const existing = await put('--trace', trace);
    expect(existing).to.include({ code: 2 });
    expect(existing.stderr).to.contain('exists already: give the name of a new file');
    expect(await readFile(trace, 'utf8')).to.equal('precious');
    if (process.platform === 'win32') return;
    await symlink(join(directory, 'elsewhere'), log);
    expect(await put('--trace', log)).to.include({ code: 2 });
    expect(server.log).to.be.empty;
  });

  it('are closed at the end of the command, also when nothing could be sent', async function () {
    if (process.platform !== 'linux') skip(this, 'needs /proc');
    await put('--log-file', log, '--trace', trace);
    await runWith('resume', '--log-file', log, '0190163d');
    const open = await readdir('/proc/self/fd');
    const names = await Promise.all(
      open.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(String)),
    );
    expect(names).to.not.include(log);
    expect(names).to.not.include(trace);
  });

  it('grow with --log-file, a line for each event, with its time', async () => {
    await writeFile(log, 'before\n');
    expect(await put('--log-file', log, '--quiet')).to.include({ code: 0, stderr: '' });
    const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
    expect(lines.shift()).to.equal('before');
    for (const line of lines) expect(line).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z /);
    expect(lines.map((line) => line.split(': ')[1]?.split(/[ ,]/)[0])).to.deep.equal([
      'uploading',
      'done',
    ]);
  });

  it('are named when they cannot be written', async () => {
    const nowhere = join(directory, 'no', 'such', 'directory');
    for (const option of ['--trace', '--log-file']) {
      const { code, stderr } = await put(option, nowhere);
      expect(code).to.equal(2);
      expect(stderr).to.contain(`${option} ${nowhere} cannot be written (ENOENT)`);
    }
  });

  it('do not stay as traces of a command line that is wrong', async () => {
    const args = ['--trace', trace, '--log-file', log];
    expect(await put(...args, '--max-time=soon')).to.include({ code: 2 });
    expect(await runWith('put', ...args, join(directory, 'no.bin'), server.url)).to.include({
      code: 2,
    });
    expect(await runWith('cancel', '--trace', trace, '0190163d')).to.include({ code: 2 });
    expect(await put(...args)).to.include({ code: 0 });
    expect((await eventsOf(trace)).at(-1)).to.include({ event: 'end' });
  });

  it('are no pipes, which may have no reader', async function () {
    skipOnWindows(this, 'fifo');
    execFileSync('mkfifo', [log]);
    for (const [option, message] of [
      ['--log-file', `--log-file ${log} is a pipe: give the name of a file`],
      ['--trace', `--trace ${log} exists already: give the name of a new file`],
    ] as const) {
      const { code, stderr } = await put(option, log);
      expect(code).to.equal(2);
      expect(stderr).to.contain(message);
    }
    expect(server.log).to.be.empty;
  });

  it('do not stop an upload when the disk is full', async function () {
    if (process.platform !== 'linux') skip(this, 'needs /dev/full');
    const { code, stderr } = await put('--log-file', '/dev/full', '--quiet');
    expect(code).to.equal(0);
    expect(stderr).to.equal('bits-upload: warning: --log-file is incomplete (ENOSPC)\n');
  });
});
