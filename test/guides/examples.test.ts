import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { expect } from 'chai';
import { compile } from './compiled.js';
import { Workshop } from './workshop.js';

const names = (await readdir('examples')).filter((name) => name.endsWith('.mjs'));

describe('the examples', function () {
  this.timeout(120_000);
  let workshop: Workshop;
  let url: string;

  const run = (name: string, ...args: string[]) =>
    workshop.run(process.execPath, [path.join('examples', name), ...args]);
  const uploaded = (name: string) => readFile(path.join(workshop.servers.plain.root, name));
  const original = (name: string) => readFile(path.join(workshop.folder, name));

  beforeEach(async () => {
    workshop = await Workshop.open();
    url = workshop.servers.plain.url;
  });

  afterEach(async () => {
    for (const server of Object.values(workshop.servers)) server.assertNoViolations();
    await workshop.close();
  });

  it('are all run here, and named on their page', async () => {
    const here = await readFile('test/guides/examples.test.ts', 'utf8');
    const page = await readFile('examples/README.md', 'utf8');
    const used = names.filter((name) => name !== 'your-app.mjs');
    expect(used.filter((name) => !new RegExp(`['/]${name}'`).test(here))).to.deep.equal([]);
    expect(names.filter((name) => !page.includes(`(${name})`))).to.deep.equal([]);
    expect(names).to.have.length.at.least(10);
  });

  it('compile against the declarations of the package', async () => {
    const codes = await Promise.all(
      names.map(async (name) => ({
        name,
        text: await readFile(path.join('examples', name), 'utf8'),
      })),
    );
    for (const [name, mistakes] of compile(codes)) expect(mistakes, name).to.deep.equal([]);
  });

  it('upload a file in ten lines', async () => {
    expect(await run('upload.mjs', 'dump.zip', url)).to.equal(`${url}dump.zip\n`);
    expect((await uploaded('dump.zip')).equals(await original('dump.zip'))).to.equal(true);
  });

  it('receive a JSON answer', async () => {
    const { url: replying } = workshop.servers.replying;
    expect(await run('upload-reply.mjs', 'orders.csv', replying)).to.equal(
      'the application counted 3 lines in 20 bytes\n',
    );
  });

  it('resume in another process', async () => {
    const output = await run('resume-across-processes.mjs', 'dump.zip', url, 'records');
    const [, sent, total] = /sent (\d+) of (\d+) bytes/.exec(output) ?? [];
    expect(Number(total)).to.equal(3 * 1024 ** 2);
    expect(Number(sent)).to.be.within(1, Number(total) / 2 + 512 * 1024);
    expect((await uploaded('dump.zip')).equals(await original('dump.zip'))).to.equal(true);
  });

  it('upload many files at a limited speed', async () => {
    expect(await run('queue.mjs', url, 'app.log', 'db.log', 'orders.csv')).to.equal(
      '3 done, 0 failed\n',
    );
    expect((await uploaded('db.log')).equals(await original('db.log'))).to.equal(true);
  });

  it('pass an upload through an Express route', async () => {
    const { child, address } = await listen('express-route.mjs', [url, '0']);
    try {
      const answer = await fetch(`${address}files/dump.zip`, {
        method: 'PUT',
        body: createReadStream(path.join(workshop.folder, 'dump.zip')) as never,
        headers: { 'content-length': String(3 * 1024 ** 2) },
        duplex: 'half',
      } as RequestInit);
      expect(answer.status).to.equal(201);
      expect(await answer.json()).to.deep.equal({ bytes: 3 * 1024 ** 2, url: `${url}dump.zip` });
      expect((await uploaded('dump.zip')).equals(await original('dump.zip'))).to.equal(true);
    } finally {
      child.kill();
    }
  });

  it('keep records in a store of their own, which meets the contract', async () => {
    expect(await run('own-store.mjs', 'dump.zip', url)).to.equal(
      '1 record while it is suspended\n0 records when it is done\n',
    );
  });

  it('upload from a source of their own', async () => {
    await run('own-source.mjs', url);
    const lines = (await uploaded('numbers.txt')).toString('latin1').split('\n');
    expect(lines).to.have.length(1_000_001);
    expect(lines.every((line, index) => line === '' || Number(line) === index)).to.equal(true);
  });

  it('replace a token that has expired', async () => {
    let issued = 0;
    const tokens = createServer((_request, response) => {
      issued += 1;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ access_token: `token-${issued}` }));
    });
    await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
    const { port } = tokens.address() as AddressInfo;
    const { plain } = workshop.servers;
    const headers = { 'WWW-Authenticate': 'Bearer error="invalid_token"' };
    plain.addFault({ on: 'fragment', nth: 2, do: { status: 401, headers } });
    const output = await run('expiring-token.mjs', 'dump.zip', url, `http://127.0.0.1:${port}/`);
    tokens.close();
    expect(output).to.equal(`${3 * 1024 ** 2} bytes uploaded\n`);
    expect(issued).to.equal(2);
    const seen = plain.log.map((request) => request.headers.authorization);
    expect(new Set(seen)).to.deep.equal(new Set(['Bearer token-1', 'Bearer token-2']));
    plain.assertFaultsConsumed();
  });

  it('stop an upload, and continue it', async () => {
    const output = await run('abort.mjs', 'dump.zip', url, '400');
    expect(output).to.match(/^stopped at \d+ bytes\n(?:resumed; )?3145728 bytes are there\n$/);
    expect((await uploaded('dump.zip')).equals(await original('dump.zip'))).to.equal(true);
  });

  it('test an app', async () => {
    const output = await workshop.run(process.execPath, ['--test', 'examples/test-your-app.mjs']);
    expect(output)
      .to.match(/pass 3\b/)
      .and.to.match(/fail 0\b/);
  });

  /** Starts an example that listens, and waits for the URL that it prints. */
  function listen(name: string, args: readonly string[]) {
    return new Promise<{ child: ChildProcess; address: string }>((resolve, reject) => {
      const child = spawn(process.execPath, [path.join('examples', name), ...args], {
        cwd: workshop.folder,
      });
      child.stdout.on('data', (chunk) => resolve({ child, address: String(chunk).trim() }));
      child.on('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
    });
  }
});
