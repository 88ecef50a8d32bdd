import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  access,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { expect } from 'chai';
import { digestFile, removeFile } from '../../src/cli/tree/local-files.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { skipWithoutLinks } from '../support/skip.js';
import { runCli } from './capture.js';

describe('put with what it does besides', () => {
  let directory: string;
  let server: BitsServer;
  let tree: string;

  const serve = async (options: BitsServerOptions = {}): Promise<void> => {
    server = await createBitsServer({ allowOverwrite: true, ...options });
  };

  const put = async (args: readonly string[], stdin?: string | Readable) => {
    const options = { state: directory, ...(stdin !== undefined && { stdin }) };
    const result = await runCli(['put', '--json', '--transfers=1', ...args], options);
    const of = (type: string) => result.objects().filter((object) => object.type === type);
    return { ...result, of, summary: result.objects().at(-1) ?? {} };
  };

  const isThere = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    );

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-extras-'));
    tree = join(directory, 'tree');
    await mkdir(join(tree, 'sub'), { recursive: true });
    for (const name of ['a', 'b', 'sub/c']) await writeFile(join(tree, name), `content of ${name}`);
  });

  afterEach(async () => {
    await server?.close();
    // A file that is still open, for a moment, holds its directory on Windows.
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  });

  describe('--skip-existing', () => {
    it('skips files of which the server has one of the same size, and sends the others', async () => {
      await serve({ serveUploads: true });
      const args = ['--skip-existing', '-r', `${tree}/`, server.url];
      expect((await put(args)).summary).to.include({ succeeded: 3, skipped: 0 });
      await writeFile(join(tree, 'a'), 'longer content of a');
      const again = await put(args);
      expect(again.of('skipped').map(({ file, reason }) => [file, reason])).to.deep.equal([
        [join(tree, 'b'), 'same-size'],
        [join(tree, 'sub/c'), 'same-size'],
      ]);
      expect(again.summary).to.include({ files: 3, succeeded: 1, skipped: 2, bytes: 19 });
      server.assertNoViolations();
    });

    it('asks with the credentials of the upload, and takes no other answer than a size as one', async () => {
      let status = 200;
      let encoding = '';
      const guarded = await startRawServer({
        onRequest: ({ method, headers, connection: { socket } }) => {
          if (method !== 'HEAD') socket.write(answer(501));
          else if (headers.authorization === undefined) {
            socket.write(answer(401, { 'WWW-Authenticate': 'Basic realm="x"' }));
          } else {
            socket.write(`HTTP/1.1 ${status} Status\r\n${encoding}Content-Length: 12\r\n\r\n`);
          }
        },
      });
      try {
        const url = `${guarded.url('/in/')}`;
        const args = ['--skip-existing', '-u', 'me:pw', join(tree, 'a'), url];
        expect((await put(args)).summary).to.include({ skipped: 1, failed: 0 });
        for (status of [204, 302, 403, 404, 500]) {
          expect((await put(args)).summary, `${status}`).to.include({ skipped: 0, failed: 1 });
        }
        status = 200;
        encoding = 'Content-Encoding: gzip\r\n';
        expect((await put(args)).summary).to.include({ skipped: 0, failed: 1 });
      } finally {
        await guarded.close();
      }
    });
  });

  describe('--max-time', () => {
    it('exits with 5 when it comes before a file is begun, and says that not all are found', async () => {
      const silent = await startRawServer();
      try {
        const args = [
          '--skip-existing',
          '--max-time=200ms',
          '-r',
          `${tree}/`,
          `${silent.url('/')}`,
        ];
        const { code, summary, stderr } = await put(args);
        expect(summary).to.include({ files: 1, succeeded: 0, failed: 0, unfinished: 1 });
        expect(code, stderr).to.equal(5);
        expect(stderr)
          .to.match(/not begun: .*a\n(?:.*\n)*.*stopped before all files were looked at\n$/)
          .and.not.contain('no file to upload');
      } finally {
        await silent.close();
      }
    });
  });

  describe('--remove-source', () => {
    it('removes what is stored, and nothing else', async () => {
      await serve();
      server.addFault({ on: 'create-session', nth: 2, do: { status: 403 } });
      const args = ['--remove-source', '-r', `${tree}/`, server.url];
      expect((await put(args)).code).to.equal(3);
      expect(await readdir(tree)).to.deep.equal(['b', 'sub']);
      expect(await readdir(join(tree, 'sub'))).to.deep.equal([]);
      expect(await readFile(join(server.root, 'sub/c'), 'utf8')).to.equal('content of sub/c');
      expect((await put(args)).code).to.equal(0);
      expect(await readdir(tree)).to.deep.equal(['sub']);
    });

    it('sends a file again that was moved back after its removal', async () => {
      await serve();
      const [a, b] = [join(tree, 'a'), join(tree, 'b')];
      const backup = join(directory, 'backup');
      await link(a, backup);
      server.addFault({ on: 'create-session', nth: 2, times: 2, do: { status: 403 } });
      const args = ['--remove-source', a, b, server.url];
      expect((await put(args)).summary).to.include({ succeeded: 1, failed: 1 });
      expect((await put(args)).summary).to.include({ skipped: 1, failed: 1 });
      await rename(backup, a);
      const again = await put(args);
      expect(again.summary).to.include({ succeeded: 2, skipped: 0 });
      expect(await isThere(a)).to.equal(false);
    });

    it('is refused for a file that a manifest has several destinations for', async () => {
      await serve();
      const manifest = join(directory, 'm.csv');
      const a = join(tree, 'a');
      const rows = ['Source,Destination', `${a},${server.url}1`, `${tree}/./a,${server.url}2`];
      await writeFile(manifest, rows.join('\n'));
      const { code, stderr } = await put(['--remove-source', '--manifest', manifest]);
      expect(code).to.equal(2);
      expect(stderr).to.contain('several Destinations').and.to.contain('leave out --remove-source');
      expect((await put(['--manifest', manifest])).summary).to.include({ succeeded: 2 });
    });

    it('takes a file of the command that an earlier run has removed as finished', async () => {
      await serve();
      server.addFault({ on: 'create-session', nth: 2, do: { status: 403 } });
      const args = ['--remove-source', join(tree, 'a'), join(tree, 'b'), server.url];
      expect((await put(args)).code).to.equal(3);
      const again = await put(args);
      expect(again.code).to.equal(0);
      expect(again.summary).to.include({ files: 2, succeeded: 1, skipped: 1 });
      const missing = await put(args);
      expect(missing.code).to.equal(2);
    });

    it('keeps a file that changed meanwhile, and one that is only presumed to be stored', async () => {
      const changed = join(tree, 'a');
      await serve({ onUpload: () => writeFile(changed, 'other content') });
      const first = await put(['--remove-source', changed, server.url]);
      expect(first.code).to.equal(0);
      expect(first.of('warning')).to.have.lengthOf(1);
      expect(first.of('warning')[0]?.message).to.match(/a: not removed: it has changed since/);
      await server.close();
      await serve({ faults: [{ on: 'close-session', do: 'reset-after-commit' }] });
      const second = await put(['--remove-source', join(tree, 'b'), server.url]);
      expect(second.of('warning').map(({ code }) => code)).to.include('source-kept');
      expect([await isThere(changed), await isThere(join(tree, 'b'))]).to.deep.equal([true, true]);
    });
  });

  describe('--remove-source and --checksum', () => {
    it('do not take a file of the same size and time for the one that was sent', async function () {
      // Windows puts no file in the place of one that is open.
      if (process.platform === 'win32') this.skip();
      const replaced = join(tree, 'a');
      const replace = async (): Promise<void> => {
        const { atime, mtime } = await stat(replaced);
        await writeFile(join(directory, 'other'), 'CONTENT OF A');
        await utimes(join(directory, 'other'), atime, mtime);
        await rename(join(directory, 'other'), replaced);
      };
      await utimes(replaced, 1, 1);
      await serve({ onUpload: replace });
      const args = ['--remove-source', '--checksum=sha256', replaced, server.url];
      const { code, of } = await put(args);
      expect(code).to.equal(0);
      expect(of('warning').map(({ code }) => code)).to.deep.equal(['no-checksum', 'source-kept']);
      expect(await readFile(replaced, 'utf8')).to.equal('CONTENT OF A');
    });

    it('know a file of which only the number is another one', async () => {
      const path = join(tree, 'a');
      const { dev, ino, ...others } = await stat(path, { bigint: true });
      const renumbered = { ...others, dev: dev + 1n, ino: ino + 1n };
      expect(await removeFile({ path, stamp: renumbered })).to.equal(undefined);
      expect(await isThere(path)).to.equal(false);
    });
  });

  describe('--checksum', () => {
    const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

    it('adds the digest of each file, and of standard input, to the result', async () => {
      await serve();
      const files = await put(['--checksum=sha256', '-r', `${tree}/`, server.url]);
      expect(files.of('result').map((result) => result.sha256)).to.deep.equal(
        ['content of a', 'content of b', 'content of sub/c'].map(sha256),
      );
      for (const size of [[], ['--size=11']]) {
        const args = ['--checksum=sha256', ...size, '-', `${server.url}x`];
        expect((await put(args, 'from a pipe')).of('result')[0]?.sha256).to.equal(
          sha256('from a pipe'),
        );
      }
      expect((await put(['--checksum=md5', join(tree, 'a'), server.url])).code).to.equal(2);
    });

    it('is given up when the command is stopped, however large the file is', async () => {
      const path = join(tree, 'a');
      const file = { path, stamp: await stat(path, { bigint: true }) };
      expect(await digestFile(file, new AbortController().signal)).to.have.property('sha256');
      const why = 'the command was stopped';
      expect(await digestFile(file, AbortSignal.abort())).to.deep.equal({ why });
    });

    it('gives none of a file that changed meanwhile', async () => {
      await serve({ onUpload: () => writeFile(join(tree, 'a'), 'other content') });
      const { of } = await put(['--checksum=sha256', join(tree, 'a'), server.url]);
      expect(of('result')[0]).to.not.have.property('sha256');
      expect(of('warning')[0]?.code).to.equal('no-checksum');
    });
  });

  describe('--reply-dir', () => {
    it('writes each reply under the path that its file has below the URL', async () => {
      await serve({ reply: ({ url }) => `reply to ${new URL(url).pathname}` });
      const replies = join(directory, 'replies');
      const { code, of } = await put(['--reply-dir', replies, '-r', tree, server.url]);
      expect(code).to.equal(0);
      expect(of('result').map(({ replyFile }) => replyFile)).to.deep.equal(
        ['tree/a', 'tree/b', 'tree/sub/c'].map((name) => join(replies, name)),
      );
      expect(await readFile(join(replies, 'tree/sub/c'), 'utf8')).to.equal('reply to /tree/sub/c');
    });

    it('never writes outside of the directory, nor over a file', async function () {
      skipWithoutLinks(this);
      await serve({ reply: () => 'x' });
      const [replies, outside] = [join(directory, 'replies'), join(directory, 'outside')];
      await mkdir(replies);
      await mkdir(outside);
      await symlink(outside, join(replies, 'sub'));
      await writeFile(join(replies, 'a'), 'mine');
      const { code, stderr } = await put(['--reply-dir', replies, '-r', `${tree}/`, server.url]);
      expect(code).to.equal(3);
      expect(stderr).to.contain(`${join(replies, 'sub')} is a link or a file: move it away`);
      expect(await readdir(outside)).to.deep.equal([]);
      expect(await readFile(join(replies, 'a'), 'utf8')).to.equal('mine');
      const manifest = join(directory, 'm.csv');
      await writeFile(
        manifest,
        `Source,Destination\n${tree}/b,${server.url}x%2f..%2f..%2foutside%2fb\n`,
      );
      const outsider = await put(['--reply-dir', replies, '--manifest', manifest]);
      expect(outsider.stderr).to.contain(
        '--reply-dir has no place for the name "x/../../outside/b"',
      );
      expect(await readdir(outside)).to.deep.equal([]);
    });

    it('excludes --reply and --reply-file, which are for one file', async () => {
      await serve();
      const both = await put(['--reply-dir=x', '--reply-file=y', join(tree, 'a'), server.url]);
      expect([both.code, both.stderr])
        .to.deep.include(2)
        .and.match(/exclude each other/);
      const many = await put(['--reply-file=y', '-r', tree, server.url]);
      expect([many.code, many.stderr])
        .to.deep.include(2)
        .and.match(/use --reply-dir/);
    });
  });

  describe('--size', () => {
    it('sends standard input while it is read', async () => {
      await serve();
      const stdin = new PassThrough();
      const content = randomBytes(300_000);
      const args = ['--size', '300000', '--fragment-size=100000', '-', `${server.url}x`];
      const uploading = put(args, stdin);
      stdin.write(content.subarray(0, 150_000));
      await server.waitForRequest('fragment');
      stdin.end(content.subarray(150_000));
      expect((await uploading).code).to.equal(0);
      expect(await readFile(join(server.root, 'x'))).to.deep.equal(content);
    });

    it('fails when there is less or more, and is for standard input alone', async () => {
      await serve();
      for (const size of ['10', '12']) {
        const args = [`--size=${size}`, '-', `${server.url}x`];
        const { code, of } = await put(args, 'from a pipe');
        expect(code).to.equal(1);
        expect(of('error')[0]?.code).to.equal('BITS_ERR_SOURCE');
      }
      expect((await put(['--size=1', join(tree, 'a'), server.url])).code).to.equal(2);
      expect((await put(['--size=1', '--spool-size=1', '-', `${server.url}x`])).code).to.equal(2);
    });
  });

  it('limits the speed of all uploads together with --limit-rate, as curl and schedules have it', async () => {
    await serve();
    const big = join(directory, 'big');
    await writeFile(big, randomBytes(60_000));
    for (const rate of ['100k', '00:00-24:00=100KiB/s,unlimited', '0:00-24:00=100k']) {
      const { code, of } = await put(['--limit-rate', rate, big, server.url]);
      expect(code, rate).to.equal(0);
      // A slow machine only makes it longer.
      expect(of('result')[0]?.durationMs, rate).to.be.above(250);
    }
    for (const rate of ['fast', '1M,2M', '25:00-26:00=1M', '']) {
      const { code, stderr } = await put(['--limit-rate', rate, big, server.url]);
      expect(code, rate).to.equal(2);
      expect(stderr).to.contain(rate === '25:00-26:00=1M' ? 'schedule' : '--limit-rate');
    }
  });

  it('names the unit that a duration lacks, and what other programs call an option', async () => {
    await serve();
    const hints: [args: string[], hint: string][] = [
      [['--max-time', '30'], 'not "30": write 30s for seconds'],
      [['--silent'], 'put has no option -s or --silent: use --quiet'],
      [['-s'], 'use --quiet'],
      [['--ignore-existing'], 'use --skip-existing'],
      [['--priority', 'urgent'], '--priority must be one of foreground, high, normal, low'],
    ];
    for (const [args, hint] of hints) {
      const { code, stderr } = await put([...args, join(tree, 'a'), server.url]);
      expect(code).to.equal(2);
      expect(stderr).to.contain(hint);
    }
    expect((await put([tree, server.url])).stderr).to.contain('give --recursive (-r)');
    expect((await put(['-r', tree, `${server.url}x`])).stderr).to.contain(`${server.url}x/`);
    expect((await put([join(tree, '*.log'), server.url])).stderr).to.contain("--include '*.log'");
    expect((await put(['~/a', server.url])).stderr).to.contain('only outside of quotes');
    expect(server.connections).to.equal(0);
  });

  it('says when the port of an http: URL speaks https', async () => {
    const fixture = (name: string) => readFile(new URL(`../fixtures/tls/${name}`, import.meta.url));
    const tls = { key: await fixture('key.pem'), cert: await fixture('cert.pem') };
    server = await createBitsServer({ tls });
    const url = server.url.replace('https:', 'http:');
    const args = ['--retries=0', join(tree, 'a')];
    const { code, stderr } = await put([...args, url]);
    expect(code).to.equal(1);
    expect(stderr).to.contain(`Port ${new URL(url).port} speaks https: write https:// in the URL.`);
    const plain = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo;
    expect((await put([...args, `http://127.0.0.1:${port}/`])).stderr).to.not.contain('https');
    plain.close();
  });
});
