import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { answer, type RawServer, startRawServer } from '../support/raw-server.js';
import { skipOnWindows } from '../support/skip.js';
import { Capture, type CapturedIo, type CaptureOptions, capturedIo, runCli } from './capture.js';
import { Spawned } from './spawned.js';

const SECRET = 's3cret-Pa55word';
const AUTHORIZATION = `Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`;

describe('the command ping', () => {
  let bits: BitsServer;
  let guarded: RawServer;

  before(async () => {
    bits = await createBitsServer();
    guarded = await startRawServer({
      onRequest: ({ headers, connection }) => {
        const isLetIn = headers.authorization === AUTHORIZATION;
        connection.socket.write(
          isLetIn
            ? answer(200, { 'BITS-Packet-Type': 'Ack' })
            : answer(401, { 'WWW-Authenticate': 'Basic realm="x"' }),
        );
      },
    });
  });

  after(async () => {
    await bits.close();
    await guarded.close();
  });

  async function ping(args: readonly string[], options: CaptureOptions | CapturedIo = {}) {
    const { code, stdout, stderr, lines } = await runCli(['ping', ...args], options);
    expect(stdout + stderr).not.to.contain(SECRET);
    return { code, out: lines, err: stderr };
  }

  it('prints a line for each step, and exits with 0 when no step fails', async () => {
    const { code, out, err } = await ping([bits.url, '--probe']);
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(out.map((line) => line.slice(0, 12).trimEnd())).to.deep.equal([
      'skip  dns',
      'ok    tcp',
      'skip  proxy',
      'skip  tls',
      'ok    auth',
      'ok    ping',
      'ok    create',
      'ok    cancel',
    ]);
  });

  it('prints signs on a terminal', async () => {
    const env = { LC_ALL: 'C.UTF-8', WT_SESSION: '1' };
    const { out } = await ping([bits.url], { ...capturedIo({ env }), stdout: new Capture(80) });
    expect(out.map((line) => line[0]).join('')).to.equal('–✓––✓✓');
  });

  it('prints what to check, and exits with 1 when a step fails', async () => {
    const gone = await startRawServer();
    await gone.close();
    const { code, out } = await ping([`http://127.0.0.1:${gone.port}/`]);
    expect(code).to.equal(1);
    expect(out[1]).to.match(/^FAIL {2}tcp {6,}\d+ ms {2}127\.0\.0\.1:\d+ refused/);
    expect(out[2]).to.match(/^ +-> .*nothing listens on port/);
  });

  it('prints an object a line with --json', async () => {
    const { code, out } = await ping(['--json', `${guarded.url('/')}`]);
    const steps = out.map((line) => JSON.parse(line));
    expect(code).to.equal(4);
    expect(steps.map(({ type, step, ok }) => `${type} ${step} ${ok}`)).to.deep.equal([
      'step dns skipped',
      'step tcp true',
      'step proxy skipped',
      'step tls skipped',
      'step auth false',
      'step ping skipped',
    ]);
    expect(steps[4]).to.have.all.keys(
      'type',
      'step',
      'ok',
      'durationMs',
      'detail',
      'advice',
      'code',
    );
    expect(steps[4].code).to.equal('BITS_ERR_AUTH');
  });

  it('authenticates with flags and with the environment', async () => {
    const url = `${guarded.url('/')}`;
    const password = { BITS_UPLOAD_PASSWORD: SECRET };
    expect(await ping(['-u', 'me', url], { env: password })).to.include({ code: 0, err: '' });
    const env = { BITS_UPLOAD_USER: 'me', BITS_UPLOAD_PASSWORD_COMMAND: `echo ${SECRET}` };
    expect(await ping([url], { env })).to.include({ code: 0, err: '' });
    expect(await ping(['-u', 'me:wrong', url])).to.include({ code: 4 });
    expect(await ping(['-u', 'me:wrong', '--digest', url])).to.include({ code: 4 });
  });

  it('warns of a password on the command line', async () => {
    const { code, err } = await ping(['-u', `me:${SECRET}`, `${guarded.url('/')}`]);
    expect(code).to.equal(0);
    expect(err).to.match(/warning: the password of --user.*BITS_UPLOAD_PASSWORD/);
  });

  for (const args of [
    [],
    ['http://a/', 'http://b/'],
    ['ftp://a/'],
    ['http://h/', '--timeout', '3'],
    ['http://h/', '-u', 'me'],
    [`http://me:${SECRET}@h/`],
    ['http://h/', '--proxy', `gopher://me:${SECRET}@h`],
    ['http://h/', `--haeder=${SECRET}`],
  ]) {
    it(`exits with 2 for ${JSON.stringify(args).replace(SECRET, '…')}`, async () => {
      const { code, out, err } = await ping(args);
      expect({ code, out }).to.deep.equal({ code: 2, out: [] });
      expect(err).to.contain("Try 'bits-upload ping --help'");
    });
  }

  it('stops at SIGINT with 130, and shows no argument in the list of processes', async function () {
    skipOnWindows(this, 'signals');
    let arrived!: () => void;
    const ping = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const hanging = await startRawServer({ onRequest: () => arrived() });
    try {
      const url = `${hanging.url('/')}`;
      const program = new Spawned(['ping', '-u', `me:${SECRET}`, '--oauth2-bearer=', url]);
      expect(await program.ended()).to.include({ code: 2 });
      const walking = new Spawned(['ping', '-u', `me:${SECRET}`, url]);
      await ping;
      if (process.platform === 'linux') {
        const title = await readFile(`/proc/${walking.process.pid}/cmdline`, 'utf8');
        expect(title).to.contain('bits-upload').and.not.to.contain(SECRET);
      }
      walking.kill('SIGINT');
      expect(await walking.ended()).to.deep.equal({ code: 130, signal: null });
      expect(walking.stdout + walking.stderr + program.stderr).not.to.contain(SECRET);
    } finally {
      await hanging.close();
    }
  });
});

describe('the command put', () => {
  it('authenticates with the flags of curl, and shows no secret', async () => {
    const bits = await createBitsServer();
    try {
      const args = ['put', '--json', '-u', `me:${SECRET}`, '--basic', '-', `${bits.url}x`];
      const { code, stdout, stderr } = await runCli(args, { stdin: 'content' });
      expect(code).to.equal(0);
      expect(stdout).to.contain('"secret-in-arguments"');
      expect(stdout + stderr).not.to.contain(SECRET);
    } finally {
      await bits.close();
    }
  });
});
