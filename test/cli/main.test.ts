import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, open, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { quoteArgument } from '../../src/cli/resume-command.js';
import { createUndiciTransport, VERSION } from '../../src/index.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { skip, skipOnWindows } from '../support/skip.js';
import { runCli, stateEnvironment } from './capture.js';
import { MAIN, Spawned } from './spawned.js';

const ofThisMachine = process.platform !== 'win32';

describe('the command line', () => {
  const runWith = (...args: string[]) => runCli(args);

  it('prints the version', async () => {
    const version = { code: 0, stdout: `${VERSION}\n`, stderr: '' };
    expect(await runWith('-V', 'put')).to.include(version);
    const program = new Spawned(['--version']);
    expect(await program.ended()).to.include({ code: 0 });
    expect(program.stdout).to.equal(`${VERSION}\n`);
  });

  it('prints help with the commands, and for each command its options and defaults', async () => {
    const help = await runWith('--help');
    expect(help).to.include({ code: 0, stderr: '' });
    expect(help.stdout).to.match(/put.*upload files[\s\S]*resume.*resume[\s\S]*serve.*server/);
    const putHelp = await runWith('put', '--help');
    expect(putHelp.stdout).to.match(
      /PATH… URL[\s\S]*--timeout[\s\S]*default: 5m[\s\S]*--fragment-size/,
    );
    expect((await runWith('help', 'put')).stdout).to.equal(putHelp.stdout);
    for (const args of [['help'], ['help', 'help'], ['help', '-h']]) {
      expect(await runWith(...args)).to.include({ code: 0, stdout: help.stdout, stderr: '' });
    }
    expect((await runWith('serve', '--help')).stdout).to.match(/--root[\s\S]*127\.0\.0\.1/);
  });

  it('says which arguments of a command are wrong', async () => {
    for (const [args, message] of [
      [['prune', 'x'], 'prune takes no argument besides its options'],
      [['completion'], 'the shell is missing'],
      [['completion', 'cmd'], 'the shell must be one of bash, zsh, fish, powershell, not "cmd"'],
      [['completion', 'bash', 'x'], 'completion takes only one argument'],
      [['enqueue', '--redis=redis://h', 'x'], 'the URL is missing: give PATH… URL'],
    ] as const) {
      const { code, stderr } = await runWith(...args);
      expect(code).to.equal(2);
      expect(stderr).to.equal(`bits-upload: ${message}\nTry 'bits-upload ${args[0]} --help'.\n`);
    }
  });

  for (const [args, message] of [
    [[], /command is missing/],
    [['pt'], /unknown command 'pt'.*put/],
    [['--quite'], /unknown option '--quite'/],
    [['http://me:s3cret@h/', 'x'], /unknown command/],
    [['http://h/?sig=s3cret', 'x'], /unknown command 'http:\/\/h\/\?…'/],
    [['-ps3cret'], /unknown option '-p…'/],
    [['help', 'pt'], /unknown command 'pt': put, jobs/],
  ] as [string[], RegExp][]) {
    it(`exits with 2 and a hint for ${JSON.stringify(args).replace('s3cret', '…')}`, async () => {
      const { code, stdout, stderr } = await runWith(...args);
      expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
      expect(stderr)
        .to.match(message)
        .and.to.match(/Try 'bits-upload --help'/);
      expect(stderr).not.to.contain('s3cret');
    });
  }
});

describe('the program as a process', () => {
  let directory: string;
  let server: BitsServer;
  let file: string;
  const content = randomBytes(300_000);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-cli-'));
    file = join(directory, 'dump.bin');
    await writeFile(file, content);
    server = await createBitsServer();
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Uploads what a shell redirects to standard input. */
  const putFrom = async (redirection: string) => {
    const program = [process.execPath, MAIN];
    const args = [...program, 'put', '--quiet', '-', `${server.url}in`];
    const env = { ...process.env, ...stateEnvironment() };
    const child = execFile('sh', ['-c', `exec "$@" ${redirection}`, 'sh', ...args], { env });
    const [stdout = '', stderr = '', [code]] = await Promise.all([
      child.stdout && text(child.stdout),
      child.stderr && text(child.stderr),
      once(child, 'close'),
    ]);
    return { code, stdout, stderr };
  };

  it('writes results to standard output and everything else to standard error', async () => {
    const program = new Spawned(['put', file, server.url]);
    expect(await program.ended()).to.include({ code: 0 });
    expect(program.stdout).to.equal(`${server.url}dump.bin\n`);
    expect(program.stderr).to.match(/^.*dump\.bin: done, .*\n$/);
    expect(await readFile(join(server.root, 'dump.bin'))).to.deep.equal(content);
    const verbose = new Spawned(['put', '-v', file, `${server.url}2`]);
    expect(await verbose.ended()).to.include({ code: 0 });
    expect(verbose.stderr).to.match(/^.*: uploading to .*\n.*: done, .*\n$/);
  });

  for (const [what, redirection, message] of [
    ['is closed', '<&-', /standard input is closed/],
    ['is a directory', '</', /standard input is a directory/],
  ] as const) {
    it(`refuses a standard input that ${what}, and exits with 2`, async function () {
      skipOnWindows(this, 'shell');
      const { code, stdout, stderr } = await putFrom(redirection);
      expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
      expect(stderr).to.match(message);
      expect(server.log).to.be.empty;
    });
  }

  it('uploads an empty file when standard input is empty', async function () {
    skipOnWindows(this, 'shell');
    expect(await putFrom('</dev/null')).to.include({ code: 0, stdout: `${server.url}in\n` });
    expect(await readFile(join(server.root, 'in'), 'utf8')).to.equal('');
  });

  it('writes every byte of a long reply to a pipe', async () => {
    await server.close();
    const reply = randomBytes(3_000_000).toString('base64');
    server = await createBitsServer({ reply: () => reply });
    const program = new Spawned(['put', '--reply', '--quiet', file, server.url]);
    expect(await program.ended()).to.include({ code: 0 });
    expect(program.stdout === reply).to.equal(true);
  });

  it('stops at SIGINT with 130, and keeps the session so that the upload can be resumed', async function () {
    skipOnWindows(this, 'signals');
    server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    const state = join(directory, "it's state");
    const args = ['put', '--json', '--fragment-size=64KiB', '--state-dir', state];
    const program = new Spawned([...args, file, server.url]);
    await Promise.all([program.said(/"progress"/), server.waitForRequest('fragment', 2)]);
    program.kill('SIGINT');
    expect(await program.ended()).to.deep.equal({ code: 130, signal: null });
    const objects = program.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const summary = objects.pop();
    expect(summary).to.include({ type: 'summary', succeeded: 0, failed: 0, unfinished: 1 });
    expect(summary.bytesSent).to.be.at.least(65_536);
    expect(objects.at(-1)).to.include({ type: 'error', file, code: 'BITS_ERR_ABORTED' });
    const { id, resumable, resumeCommand } = objects.at(-1) ?? {};
    expect({ resumable, resumeCommand }).to.deep.equal({
      resumable: true,
      resumeCommand: `bits-upload resume ${id} --state-dir ${quoteArgument(state)}`,
    });
    expect(program.stderr).to.match(/stopped by SIGINT after .* is not complete on the server\n/);
    expect(program.stderr).to.contain(`to resume it: ${resumeCommand}\n`);
    expect(server.log.map(({ packet }) => packet)).not.to.include('cancel-session');
    server.assertNoViolations();
    expect(await offsetOf(server)).to.equal('65536');

    if (!ofThisMachine) return;
    // A shell can run the command as it is printed.
    const installed = join(directory, 'bits-upload');
    await writeFile(installed, `#!/bin/sh\nexec "$NODE" "$MAIN" "$@"\n`);
    await chmod(installed, 0o700);
    const PATH = `${directory}:${process.env.PATH}`;
    const { stdout } = await promisify(execFile)('sh', ['-c', resumeCommand], {
      env: { ...process.env, PATH, NODE: process.execPath, MAIN },
    });
    expect(stdout).to.equal(`${server.url}dump.bin\n`);
    expect(await readFile(join(server.root, 'dump.bin'))).to.deep.equal(content);
  });

  for (const [what, source, where] of [
    ['standard input', () => '-', () => join(directory, 'state')],
    ['a file without a record', () => file, () => join(file, 'state')],
  ] as const) {
    it(`frees the session of ${what} at SIGINT, because it cannot be resumed`, async function () {
      skipOnWindows(this, 'signals');
      server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
      const args = ['put', '--quiet', '--fragment-size=64KiB', '--state-dir', where()];
      const program = new Spawned([...args, source(), `${server.url}in`], { stdin: content });
      await server.waitForRequest('fragment', 2);
      program.kill('SIGINT');
      expect(await program.ended()).to.deep.equal({ code: 130, signal: null });
      expect(program.stderr).to.match(
        /stopped by SIGINT .*run the same command to upload it again/,
      );
      expect(program.stderr.match(/without a record/g) ?? []).to.have.lengthOf.at.most(1);
      expect(server.log.at(-1)).to.include({ packet: 'cancel-session', status: 200 });
      server.assertNoViolations();
    });
  }

  for (const [what, source, where, frees] of [
    ['standard input', () => '-', () => join(directory, 'state'), true],
    ['a file without a record', () => file, () => join(file, 'state'), true],
    ['a file with a record', () => file, () => join(directory, 'state'), false],
  ] as const) {
    it(`${frees ? 'frees' : 'keeps'} the session of ${what} when the upload fails`, async () => {
      server.addFault({ on: 'fragment', nth: 2, do: { status: 403 } });
      const args = ['put', '--quiet', '--fragment-size=64KiB', '--state-dir', where()];
      const stdin = Readable.from([content]);
      const { code, stderr } = await runCli([...args, source(), `${server.url}in`], { stdin });
      expect(code).to.be.above(0);
      expect(stderr).to.match(/refused with HTTP status 403/);
      const last = frees ? 'cancel-session' : 'fragment';
      expect(server.log.at(-1)).to.include({ packet: last });
      server.assertNoViolations();
    });
  }

  it('stops waiting for a session to be freed at the next signal', async function () {
    skipOnWindows(this, 'signals');
    server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    server.addFault({ on: 'cancel-session', do: 'hang' });
    const args = ['put', '--quiet', '--fragment-size=64KiB', '-', `${server.url}in`];
    const program = new Spawned(args, { stdin: content });
    await server.waitForRequest('fragment', 2);
    program.kill('SIGINT');
    await server.waitForRequest('cancel-session');
    program.kill('SIGTERM');
    expect(await program.ended()).to.deep.equal({ code: 143, signal: null });
    expect(program.stderr).to.match(/^bits-upload: -: stopped by SIGINT .*\n$/);
  });

  it('stops waiting for a session to be freed after --timeout, and warns that it may block the URL', async function () {
    skipOnWindows(this, 'signals');
    server.addFault({ on: 'fragment', nth: 2, do: 'hang' });
    server.addFault({ on: 'cancel-session', do: 'hang' });
    const args = ['put', '--quiet', '--timeout=2s', '--fragment-size=64KiB', '-'];
    const program = new Spawned([...args, `${server.url}in`], { stdin: content });
    await server.waitForRequest('fragment', 2);
    program.kill('SIGINT');
    expect(await program.ended()).to.deep.equal({ code: 130, signal: null });
    expect(program.stderr).to.match(/stopped by SIGINT .*\n.*warning: .*may refuse the URL/);
  });

  it('exits with 130 at SIGINT while the session of a failed upload is freed', async function () {
    skipOnWindows(this, 'signals');
    server.addFault({ on: 'fragment', do: { status: 403 } });
    server.addFault({ on: 'cancel-session', do: 'hang' });
    const args = ['put', '--quiet', '--state-dir', join(file, 'state'), file, server.url];
    const program = new Spawned(args);
    await server.waitForRequest('cancel-session');
    program.kill('SIGINT');
    expect(await program.ended()).to.deep.equal({ code: 130, signal: null });
    expect(server.log.map(({ packet }) => packet)).to.deep.equal([
      'create-session',
      'fragment',
      'cancel-session',
    ]);
  });

  it('exits with 129 at SIGHUP, but ignores it under nohup', async function () {
    skipOnWindows(this, 'signals');
    server.addFault({ on: 'create-session', do: 'hang' });
    const program = new Spawned(['put', file, server.url]);
    await server.waitForRequest('create-session');
    program.kill('SIGHUP');
    expect(await program.ended()).to.deep.equal({ code: 129, signal: null });
    expect(program.stderr).to.contain('stopped by SIGHUP');

    server.addFault({ on: 'create-session', do: { delayMs: 300 } });
    const run = [process.execPath, MAIN, 'put', '--quiet', file, `${server.url}2`];
    const env = { ...process.env, ...stateEnvironment() };
    // A shell says which command it runs, and `exec` keeps the process.
    const script = `exec env _=/usr/bin/nohup nohup "$@"`;
    const child = execFile('sh', ['-c', script, 'sh', ...run], { env });
    await server.waitForRequest('create-session', 2);
    child.kill('SIGHUP');
    expect((await once(child, 'close'))[0]).to.equal(0);
  });

  it('exits at once at a signal while a password command waits', async function () {
    skipOnWindows(this, 'signals');
    const guarded = await startRawServer({
      onRequest: ({ connection }) =>
        connection.socket.write(answer(401, { 'WWW-Authenticate': 'Basic realm="x"' })),
    });
    try {
      const asked = join(directory, 'asked');
      const command = `touch ${asked}; exec sleep 60`;
      const args = [
        'put',
        '-u',
        'me',
        '--password-command',
        command,
        file,
        `${guarded.url('/in/')}`,
      ];
      const program = new Spawned(args);
      for await (const _ of watch(directory)) if (existsSync(asked)) break;
      const killedAtMs = performance.now();
      program.kill('SIGTERM');
      expect(await program.ended()).to.deep.equal({ code: 143, signal: null });
      expect(performance.now() - killedAtMs).to.be.below(5000);
    } finally {
      await guarded.close();
    }
  });

  it('sends no further file after a signal', async function () {
    skipOnWindows(this, 'signals');
    const other = join(directory, 'other.bin');
    await writeFile(other, 'x');
    server.addFault({ on: 'create-session', do: 'hang' });
    const program = new Spawned(['put', file, other, server.url]);
    await server.waitForRequest('create-session');
    program.kill('SIGINT');
    expect(await program.ended()).to.include({ code: 130 });
    expect(server.log).to.have.length(1);
  });

  it('removes its own signal listeners and no others', async () => {
    const before = process.listeners('SIGINT');
    await runCli(['put', file, server.url]);
    expect(process.listeners('SIGINT')).to.deep.equal(before);
  });

  it('stops when its standard output is closed, and says that the file is not complete', async () => {
    server.addFault({ on: 'fragment', nth: 2, times: 3, do: { delayMs: 400 } });
    const program = new Spawned(['put', '--json', '--fragment-size=64KiB', file, server.url]);
    await program.said(/"state":"fragment"/);
    program.process.stdout?.destroy();
    expect(await program.ended()).to.deep.equal({ code: 1, signal: null });
    expect(program.stderr).to.equal(
      `bits-upload: stopped because standard output cannot be written to; not complete: ${file}; run the same command again\n`,
    );
    expect(server.uploads).to.be.empty;
  });

  it('says which files are not complete when its standard output is closed', async () => {
    const files = ['1', '2', '3', '4'].map((name) => join(directory, name));
    for (const name of files) await writeFile(name, name);
    server.addFault({ on: 'create-session', nth: 2, times: 2, do: { delayMs: 300 } });
    const program = new Spawned(['put', '--quiet', '--transfers=1', ...files, server.url]);
    await program.said(/\n/);
    program.process.stdout?.destroy();
    expect(await program.ended()).to.deep.equal({ code: 1, signal: null });
    expect(program.stderr).to.equal(
      `bits-upload: stopped because standard output cannot be written to; not complete: ${files[2]}, ${files[3]}; run the same command again\n`,
    );
  });

  it('says that its working directory does not exist any more', async function () {
    skipOnWindows(this, 'shell');
    const gone = await mkdtemp(join(tmpdir(), 'bits-gone-'));
    const command = 'cd "$1" && rmdir "$1" && exec "$2" "$3" put --json file http://127.0.0.1:1/';
    const args = ['-c', command, 'sh', gone, process.execPath, MAIN];
    const failed = await promisify(execFile)('sh', args).catch((error) => error);
    expect(failed).to.include({ code: 2 });
    expect(JSON.parse(failed.stdout)).to.include({ type: 'error', code: 'BITS_ERR_ARGUMENT' });
    expect(failed.stderr).to.match(
      /^bits-upload: the working directory does not exist any more: .*\nTry /,
    );
  });

  it('exits with 1 when its result cannot be written', async function () {
    if (process.platform !== 'linux') skip(this, 'needs /dev/full');
    const full = await open('/dev/full', 'w');
    const program = new Spawned(['put', '--quiet', file, server.url], { stdout: full.fd });
    expect(await program.ended()).to.deep.equal({ code: 1, signal: null });
    expect(program.stderr).to.match(/cannot write to standard output \(ENOSPC\)/);
    await full.close();
  });

  it('continues when its standard error is closed', async () => {
    server.addFault({ on: 'create-session', do: 'reset-before' });
    const program = new Spawned(['put', file, server.url]);
    program.process.stderr?.destroy();
    expect(await program.ended()).to.deep.equal({ code: 0, signal: null });
    expect(program.stdout).to.equal(`${server.url}dump.bin\n`);
  });

  it('shows no argument in the list of processes', async function () {
    skipOnWindows(this, 'ps');
    server.addFault({ on: 'create-session', do: 'hang' });
    const program = new Spawned(['put', '--header', 'X-Key: s3cret', file, server.url]);
    await server.waitForRequest('create-session');
    const ps = ['-o', 'args=', '-p', String(program.process.pid)];
    const { stdout } = await promisify(execFile)('ps', ps);
    expect(stdout.trim()).to.equal('bits-upload');
    program.kill('SIGTERM');
    await program.ended();
  });
});

/** Where the server stands in its only session, as it tells a Fragment that starts elsewhere. */
async function offsetOf(server: BitsServer): Promise<string | undefined> {
  const [create] = server.log;
  const transport = createUndiciTransport();
  const { headers } = await transport.send(
    {
      method: 'BITS_POST',
      url: new URL('dump.bin', server.url),
      headers: {
        'BITS-Packet-Type': 'Fragment',
        'BITS-Session-Id': create?.answerHeaders['BITS-Session-Id'] ?? '',
        'Content-Range': 'bytes 0-0/300000',
      },
      body: {
        byteLength: 1,
        async *pieces() {
          yield new Uint8Array(1);
        },
      },
    },
    { stallTimeoutMs: 5000, answerTimeoutMs: 5000, answerBody: 'discard' },
  );
  await transport.close();
  return headers['bits-received-content-range'];
}
