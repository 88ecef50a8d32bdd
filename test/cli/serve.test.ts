import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createUndiciTransport, UploadJob } from '../../src/index.js';
import { createBitsServer } from '../../src/testing/index.js';
import { skipOnWindows } from '../support/skip.js';
import { runCli } from './capture.js';
import { Spawned } from './spawned.js';

describe('bits-upload serve', () => {
  let root: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'bits-cli-'));
  });

  afterEach(() => rm(root, { recursive: true, force: true }));

  const urlOf = ({ stdout }: Spawned): string => stdout.trimEnd().replace('listening on ', '');

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`prints its URL, receives uploads, and exits with ${code} at ${signal}`, async function () {
      skipOnWindows(this, 'signals');
      const program = new Spawned(['serve', '--root', root]);
      await program.said(/\n/);
      expect(program.stdout).to.match(/^listening on http:\/\/127\.0\.0\.1:\d+\/\n$/);
      const url = `${urlOf(program)}x.bin?key=s3cret`;
      await new UploadJob({ url, source: randomBytes(10) }).start();
      expect((await stat(join(root, 'x.bin'))).size).to.equal(10);
      program.kill(signal);
      expect(await program.ended()).to.deep.equal({ code, signal: null });
      expect(program.stdout.match(/\n/g)).to.have.length(1);
      expect(program.stderr).to.match(/BITS_POST fragment \/x\.bin\?… 0-10\/10 200\n/);
      expect(program.stderr).not.to.contain('s3cret');
      expect(await readdir(root)).to.deep.equal(['x.bin']);
    });
  }

  describe('when a browser asks', () => {
    const served = async (args: string[], act: (url: string) => Promise<void>): Promise<string> => {
      const program = new Spawned(['serve', '--root', root, ...args]);
      await program.said(/\n/);
      await act(urlOf(program));
      program.kill('SIGINT');
      await program.ended();
      return program.stderr;
    };
    const statusOf = (url: string, host?: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const request = http.get(url, { headers: host === undefined ? {} : { Host: host } });
        request.on('response', (response) => resolve(response.resume().statusCode));
        request.on('error', reject);
      });

    it('lets it read nothing', async () => {
      await writeFile(join(root, '.env'), 'secret');
      await served([], async (url) => {
        await new UploadJob({ url: `${url}x.bin`, source: randomBytes(10) }).start();
        expect(await statusOf(`${url}x.bin`)).to.equal(404);
        expect(await statusOf(`${url}.env`)).to.equal(404);
      });
    });

    it('lets it read with --read what was uploaded, and nothing else', async () => {
      await writeFile(join(root, '.env'), 'secret');
      await served(['--read'], async (url) => {
        await new UploadJob({ url: `${url}x.bin`, source: randomBytes(10) }).start();
        expect(await statusOf(`${url}x.bin`)).to.equal(200);
        expect(await statusOf(`${url}.env`)).to.equal(404);
      });
    });

    it('refuses hosts that it was not given, and says how to allow them', async () => {
      const log = await served(
        ['--read', '--allow-host', 'a.example', '--allow-host', 'b.example'],
        async (url) => {
          expect(await statusOf(url, 'a.example')).to.equal(404);
          expect(await statusOf(url, 'b.example:8080')).to.equal(404);
          expect(await statusOf(url, 'evil.example')).to.equal(421);
        },
      );
      expect(log).to.match(/ 421: allow the host evil\.example with --allow-host\n/);
    });
  });

  it('reports violations of the protocol also with --quiet', async function () {
    skipOnWindows(this, 'signals');
    const program = new Spawned(['serve', '--root', root, '--quiet']);
    await program.said(/\n/);
    const transport = createUndiciTransport();
    const url = new URL(urlOf(program));
    await transport.send(
      { method: 'BITS_POST', url, headers: { 'BITS-Packet-Type': 'Create-Session' } },
      { stallTimeoutMs: 5000, answerTimeoutMs: 5000, answerBody: 'discard' },
    );
    await transport.close();
    program.kill('SIGINT');
    await program.ended();
    expect(program.stderr).to.match(/^violation of the protocol in request 1: /);
  });

  it('writes an IPv6 address in brackets', async () => {
    const program = new Spawned(['serve', '--root', root, '--host', '::1']);
    await program.said(/\n/);
    expect(program.stdout).to.match(/^listening on http:\/\/\[::1\]:\d+\/\n$/);
    program.kill('SIGINT');
    await program.ended();
    expect(program.stderr).to.equal('');
  });

  it('warns about an address that other machines reach without authentication', async function () {
    skipOnWindows(this, 'signals');
    const program = new Spawned(['serve', '--root', root, '--host', '0.0.0.0']);
    await program.said(/\n/);
    program.kill('SIGINT');
    await program.ended();
    expect(program.stderr).to.match(/warning: .*no authentication/);
  });

  it('exits with 1 when the port is in use', async () => {
    const first = await createBitsServer();
    const { code, stderr } = await runCli(['serve', '--root', root, '--port', `${first.port}`]);
    expect(code).to.equal(1);
    expect(stderr).to.match(/cannot listen on 127\.0\.0\.1.*EADDRINUSE.*another --port/);
    await first.close();
  });

  it('needs an existing directory and a valid port', async () => {
    await writeFile(join(root, 'file'), '');
    await mkdir(join(root, 'dir'));
    for (const args of [
      [],
      ['--root', join(root, 'missing')],
      ['--root', join(root, 'file')],
      ['--root', root, '--port', '65536'],
      ['--root', root, '--port', '-1'],
      ['--root', root, 'extra'],
    ]) {
      const { code, stdout, stderr } = await runCli(['serve', ...args]);
      expect({ code, stdout }, args.join(' ')).to.deep.equal({ code: 2, stdout: '' });
      expect(stderr).to.match(/Try 'bits-upload serve --help'/);
    }
  });
});
