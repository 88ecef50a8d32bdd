import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { answer, startRawServer } from '../support/raw-server.js';
import { skip, skipWithoutLinks } from '../support/skip.js';
import { type CaptureOptions, runCli } from './capture.js';

describe('the command put', () => {
  let directory: string;
  let server: BitsServer;
  let file: string;
  const content = randomBytes(20_000);

  const serve = async (options: BitsServerOptions = {}): Promise<void> => {
    server = await createBitsServer(options);
  };

  const put = (args: readonly string[], options: CaptureOptions = {}) =>
    runCli(['put', ...args], options);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-cli-'));
    file = join(directory, 'a b#1.bin');
    await writeFile(file, content);
  });

  afterEach(async () => {
    await server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('uploads a file, prints its URL as the only result, and exits with 0', async () => {
    await serve();
    const { code, stdout, stderr } = await put([file, server.url]);
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: `${server.url}a%20b%231.bin\n` });
    expect(stderr).to.match(/a b#1\.bin: done, 19\.5 KiB in /);
    expect(await readFile(join(server.root, 'a b#1.bin'))).to.deep.equal(content);
    server.assertNoViolations();
  });

  it('treats a # in the URL as a part of the name', async () => {
    await serve();
    expect(await put([file, `${server.url}report #1.bin`])).to.include({
      code: 0,
      stdout: `${server.url}report%20%231.bin\n`,
    });
    expect(await readFile(join(server.root, 'report #1.bin'))).to.deep.equal(content);
  });

  it('draws a bar on a terminal, and ends with a line of the result', async () => {
    await serve();
    const { code, stderr } = await put([file, server.url], { columns: 100 });
    expect(code).to.equal(0);
    expect(stderr).to.match(/^\u001b\[\?25l\r. a b#1\.bin/);
    expect(stderr).to.match(/a b#1\.bin: done, 19\.5 KiB in .*\n\u001b\[\?25h$/);
  });

  it('prints only the result with --quiet', async () => {
    await serve();
    const { stdout, stderr } = await put(['--quiet', file, server.url]);
    expect(stderr).to.equal('');
    expect(stdout).to.equal(`${server.url}a%20b%231.bin\n`);
  });

  it('prints one JSON object a line with --json, the result last', async () => {
    await serve();
    const { code, stderr, events } = await put(['--json', file, `${server.url}x.bin`]);
    expect(code).to.equal(0);
    expect(stderr).to.equal('');
    const objects = events();
    expect(objects.map(({ type }) => type)).to.include.members(['state', 'progress']);
    const { durationMs, id, ...result } = objects.at(-1) ?? {};
    expect(durationMs).to.be.a('number');
    expect(id).to.match(/^[0-9a-f-]{36}$/);
    expect(result).to.deep.equal({
      type: 'result',
      file,
      url: `${server.url}x.bin`,
      bytes: 20_000,
      bytesSent: 20_000,
      resumed: false,
      closed: 'acknowledged',
    });
  });

  it('uses --fragment-size and --header', async () => {
    await serve();
    const flags = ['--fragment-size', '8KiB', '--header', 'X-Job: 7', '--header', 'X-B:c'];
    await put([...flags, file, server.url]);
    const fragments = server.log.filter(({ packet }) => packet === 'fragment');
    expect(fragments.map(({ bodyBytes }) => bodyBytes)).to.deep.equal([8192, 8192, 3616]);
    expect(fragments[0]?.headers).to.include({ 'x-job': '7', 'x-b': 'c' });
  });

  it('waits for an answer no longer than --timeout, and retries no more often than --retries', async () => {
    await serve({ faults: [{ on: 'create-session', do: 'hang' }] });
    const { code, events } = await put([
      '--timeout',
      '100ms',
      '--retries',
      '0',
      '--json',
      file,
      server.url,
    ]);
    expect(code).to.equal(1);
    expect(events().at(-1)).to.include({ code: 'BITS_ERR_TIMEOUT', retryable: true });
    expect(server.log).to.have.length(1);
  });

  it('uploads standard input', async () => {
    await serve();
    const { code, stdout } = await put(['-', `${server.url}in.txt`], { stdin: 'from a pipe' });
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: `${server.url}in.txt\n` });
    expect(await readFile(join(server.root, 'in.txt'), 'utf8')).to.equal('from a pipe');
  });

  it('refuses more of standard input than --spool-size, and names that option', async () => {
    await serve();
    const args = ['--spool-size', '1KiB', '-', `${server.url}in.txt`];
    const { code, stderr } = await put(args, { stdin: 'x'.repeat(1025) });
    expect(code).to.equal(2);
    expect(stderr).to.contain('longer than --spool-size (1024): raise it');
    expect(server.connections).to.equal(0);
    expect(await put(args, { stdin: 'x'.repeat(1024) })).to.include({ code: 0 });
  });

  it('reports why a server refused the file, and exits with 1', async () => {
    await serve();
    await writeFile(join(server.root, 'x.bin'), 'already there');
    const { code, stdout, stderr, events } = await put([
      '--json',
      file,
      `${server.url}x.bin?sig=s3cret`,
    ]);
    expect(code).to.equal(1);
    expect(events().at(-1)).to.include({
      type: 'error',
      file,
      url: `${server.url}x.bin?…`,
      code: 'BITS_ERR_SERVER',
      retryable: false,
      status: 403,
      hresult: 0x80070005,
      hresultName: 'E_ACCESSDENIED',
      context: 5,
    });
    expect(stderr).to.contain('BITSAllowOverwrites');
    expect(stderr + stdout).not.to.contain('s3cret');
  });

  it('reports a retry, and finishes the upload', async () => {
    // The first reset may be that of a connection that was kept too long, and is no failure.
    await serve({ faults: [{ on: 'fragment', times: 2, do: 'reset-before' }] });
    const { code, events } = await put(['--json', file, server.url]);
    expect(code).to.equal(0);
    expect(events().find(({ type }) => type === 'retry')).to.include({
      file,
      attempt: 1,
      code: 'BITS_ERR_TRANSPORT',
    });
    server.assertFaultsConsumed();
  });

  describe('with several files', () => {
    it('uploads them one after the other over one connection with --transfers 1, and prints a URL for each', async () => {
      await serve();
      const other = join(directory, 'b.bin');
      await writeFile(other, '');
      const { code, stdout } = await put(['--transfers=1', file, other, `${server.url}in/`]);
      expect(code).to.equal(0);
      expect(stdout).to.equal(`${server.url}in/a%20b%231.bin\n${server.url}in/b.bin\n`);
      expect(server.connections).to.equal(1);
    });

    it('uploads four at once, and as many as --transfers says', async () => {
      const files = Array.from({ length: 12 }, (_, index) => join(directory, `${index}.bin`));
      for (const name of files) await writeFile(name, name);
      for (const [args, atOnce] of [
        [[], 4],
        [['--transfers=2'], 2],
      ] as const) {
        await serve({ faults: [{ on: 'fragment', times: 99, do: { delayMs: 50 } }] });
        const { code, lines } = await put([...args, ...files, server.url]);
        expect({ code, files: lines.length }).to.deep.equal({ code: 0, files: 12 });
        expect(server.connections).to.equal(atOnce);
        await server.close();
      }
    });

    it('uploads the others when some fail, exits with 3, and ends with a summary', async () => {
      await serve();
      await writeFile(join(server.root, 'a b#1.bin'), 'already there');
      const [other, missing] = [join(directory, 'b.bin'), join(directory, 'no')];
      await writeFile(other, 'b');
      const { code, objects } = await put(['--json', file, other, missing, server.url]);
      expect(code).to.equal(3);
      const { durationMs, ...summary } = objects().at(-1) ?? {};
      expect(durationMs).to.be.a('number');
      expect(summary).to.deep.equal({
        ...{ type: 'summary', files: 3, succeeded: 1, failed: 2, unfinished: 0, skipped: 0 },
        ...{ bytes: 1, bytesSent: 1 },
      });
      const { stderr } = await put(['--transfers=auto', file, other, `${server.url}in/`]);
      expect(stderr).to.match(/2 of 2 files stored: 19\.5 KiB sent in .*\n$/);
    });

    it('checks all of them before the first is sent, and uploads the others', async () => {
      await serve();
      const [missing, missing2] = [join(directory, 'no1'), join(directory, 'no2')];
      const { code, stdout, stderr } = await put(['-v', file, missing, missing2, server.url]);
      expect({ code, stdout }).to.deep.equal({ code: 3, stdout: `${server.url}a%20b%231.bin\n` });
      expect(stderr).to.match(
        /no1: There is no file .*\n.*no2: There is no file .*\n.*uploading to/,
      );
    });

    it('exits with 2 and sends nothing when none of them can be read', async () => {
      await serve();
      const missing = [join(directory, 'no1'), join(directory, 'no2')];
      const { code, stderr } = await put([...missing, server.url]);
      expect(code).to.equal(2);
      for (const name of missing) expect(stderr).to.contain(name);
      expect(server.connections).to.equal(0);
    });

    it('says what is wrong with a dangling link and with a name that is not UTF-8', async function () {
      skipWithoutLinks(this);
      await serve();
      const link = join(directory, 'link');
      await symlink(join(directory, 'gone'), link);
      const { code, stderr } = await put([file, link, join(directory, 'caf\ufffd'), server.url]);
      expect(code).to.equal(3);
      expect(stderr).to.match(/link: .*symbolic link to .*gone, which does not exist/);
      expect(stderr).to.match(/caf\ufffd: .*not UTF-8/);
    });

    for (const [a, b] of [
      ['readme.txt', 'README.TXT'],
      ['notes', 'notes.'],
      ['notes', 'Notes. '],
    ] as const) {
      it(`refuses ${JSON.stringify(a)} and ${JSON.stringify(b)}, which are one file on Windows`, async () => {
        await serve();
        const files = [join(directory, a), join(directory, b)];
        for (const name of files) await writeFile(name, name);
        const { code, stdout, stderr } = await put([...files, server.url]);
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
        expect(stderr).to.contain(
          `${files.join(' and ')} would be the same file on a Windows server`,
        );
        expect(server.connections).to.equal(0);
      });
    }

    it('sends nothing more to a server that refuses the credentials, and exits with 4', async () => {
      const guarded = await startRawServer({
        onRequest: ({ connection }) =>
          connection.socket.write(answer(401, { 'WWW-Authenticate': 'Basic realm="x"' })),
      });
      try {
        const files = Array.from({ length: 12 }, (_, index) => join(directory, `${index}`));
        for (const name of files) await writeFile(name, 'x');
        const url = `${guarded.url('/in/')}`;
        const { code, stderr, events } = await put(['--json', '-u', 'me:wrong', ...files, url]);
        expect(code).to.equal(4);
        const proofs = guarded.requests.filter(({ headers }) => headers.authorization);
        expect(proofs).to.have.lengthOf(1);
        const errors = events().filter(({ type }) => type === 'error');
        expect(errors.map(({ file: name }) => name)).to.deep.equal(files);
        for (const error of errors) expect(error).to.include({ code: 'BITS_ERR_AUTH' });
        expect(errors.at(-1)?.message).to.match(
          /^not begun: 127\.0\.0\.1:\d+ refuses the credentials/,
        );
        expect(stderr.match(/not begun/g)).to.have.lengthOf(1);
      } finally {
        await guarded.close();
      }
    });

    it('tries a dead server once more for the second file, and does not begin the others', async () => {
      const gone = await startRawServer();
      await gone.close();
      const files = Array.from({ length: 5 }, (_, index) => join(directory, `${index}`));
      for (const name of files) await writeFile(name, 'x');
      const url = `http://127.0.0.1:${gone.port}/in/`;
      const { code, events } = await put(['--json', '--connect-timeout=1500ms', ...files, url]);
      expect(code).to.equal(1);
      const objects = events();
      const retries = objects.filter(({ type }) => type === 'retry').map(({ file: name }) => name);
      expect(new Set(retries)).to.deep.equal(new Set([files[0]]));
      const errors = objects.filter(({ type }) => type === 'error').map(({ message }) => message);
      expect(errors.slice(0, 2).join()).to.match(
        /refused the connection.*,.*refused the connection/,
      );
      expect(errors.slice(2)).to.deep.equal(
        Array(3).fill(`not begun: 127.0.0.1:${gone.port} did not respond to the uploads before`),
      );
    });

    it('stops after --max-time, so that the rest can be resumed', async () => {
      await serve({ faults: [{ on: 'fragment', nth: 2, do: 'hang' }] });
      const state = join(directory, 'state');
      const other = join(directory, 'b.bin');
      await writeFile(other, 'b');
      const args = [
        '--max-time=1s',
        '--transfers=1',
        '--fragment-size=8KiB',
        file,
        other,
        server.url,
      ];
      const { code, stderr } = await put(args, { state });
      expect(code).to.equal(5);
      expect(stderr).to.match(
        /stopped by --max-time after .*\n.*to resume it.*\n(.*\n)*.*not begun: .*b\.bin\n/,
      );
      expect(stderr).to.match(/^0 of 2 files stored, 2 unfinished: (?!0 B).* sent in/m);
      expect((await put(args.slice(1), { state })).code).to.equal(0);
    });
  });

  describe('with a reply', () => {
    const reply = (): string => 'the answer';

    it('writes it to a file', async () => {
      await serve({ reply });
      const replyFile = join(directory, 'answer');
      const { code, events } = await put(['--json', '--reply-file', replyFile, file, server.url]);
      expect(code).to.equal(0);
      expect(events().at(-1)).to.include({ type: 'result', replyFile, replyBytes: 10 });
      expect(await readFile(replyFile, 'utf8')).to.equal('the answer');
    });

    it('writes nothing else to standard output with --reply', async () => {
      await serve({ reply });
      const { code, stdout } = await put(['--reply', file, server.url]);
      expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'the answer' });
    });

    it('requires it unless --reply-optional is given', async () => {
      await serve({ reply: () => undefined });
      const missing = await put(['--retries=0', '--reply', file, `${server.url}1`]);
      expect(missing.code).to.equal(5);
      expect(missing.stderr).to.match(
        /announced no reply.*\n.*to resume it: bits-upload resume .* --reply\n/,
      );
      const optional = await put(['--reply', '--reply-optional', file, `${server.url}2`]);
      expect(optional).to.include({ code: 0, stdout: '' });
    });

    for (const [where, hanging] of [
      ['the server makes it', { reply: () => new Promise<string>(() => {}) }],
      ['it is downloaded', { reply, faults: [{ on: 'reply', do: 'hang' }] }],
    ] as const) {
      it(`says that all was sent when it is stopped while ${where}`, async () => {
        await serve(hanging);
        const { code, stderr } = await put(['--max-time=1s', '--reply', file, server.url]);
        expect(code).to.equal(5);
        expect(stderr)
          .to.match(/stopped by --max-time when all was sent.*: resume it to get the reply\n/)
          .and.not.contain('not complete on the server');
      });
    }

    it('does not overwrite a file, and sends nothing then', async () => {
      await serve({ reply });
      const { code, stderr } = await put(['--reply-file', file, file, server.url]);
      expect(code).to.equal(2);
      expect(stderr).to.contain(file);
      expect(server.connections).to.equal(0);
    });
  });

  describe('with wrong input', () => {
    const password = 'p4ss/w@rd';
    const secret = 's3cret';
    const url = (): string => server.url;
    const cases: [what: string, args: () => string[], message: RegExp][] = [
      ['no arguments', () => [], /arguments are missing: give PATH… URL/],
      ['no URL', () => [file], /the URL is missing: give PATH… URL/],
      ['two files and no URL', () => [file, file], /last argument must be the URL/],
      [
        'the URL before the file',
        () => ['http://127.0.0.1:1/', file],
        /URL comes last: give PATH… URL/,
      ],
      ['no file', () => [url()], /a PATH is missing before the URL/],
      ['a list without a URL', () => ['--files-from=x'], /missing: give --files-from LIST \[DIR/],
      ['a list after the URL', () => ['--files-from=x', url(), '.'], /URL comes last: give --fi/],
      ['a missing file', () => [`${file}.no`, url()], /There is no file .*\.no/],
      ['a directory', () => [directory, url()], /is a directory/],
      ['an empty path', () => ['', url()], /path .* is empty/],
      ['a path with a NUL', () => ['a\0b', url()], /not valid/],
      ['another scheme', () => [file, 'ftp://127.0.0.1/'], /http:\/\/ or https:\/\//],
      ['no scheme', () => [file, 'bits.example/in/'], /http:\/\/ or https:\/\//],
      ['an empty URL', () => [file, ''], /http:\/\/ or https:\/\//],
      ['a password', () => [file, url().replace('//', '//me:s3cret@')], /user name or password/],
      ['a password with signs', () => [file, `http://me:${password}@h/`], /URL/],
      ['a password and another scheme', () => [file, `ftp://me:${password}@h/`], /http/],
      ['URL and file swapped', () => [`http://me:${password}@h/`, file], /URL comes last|http/],
      [
        'two URLs',
        () => [`http://me:${password}@h/`, url()],
        /only the last argument can be a URL/,
      ],
      ['a control character in the URL', () => [file, `${url()}a\nb`], /control character/],
      ['several files, no slash', () => [file, `${file}.no`, `${url()}x`], /ends in \//],
      ['standard input without a name', () => ['-', url()], /no name/],
      ['a header without colon', () => ['--header', secret, file, url()], /colon/],
      ['a bad header name', () => ['--header', `${secret} x: y`, file, url()], /name/],
      ['a header of the protocol', () => ['--header', `Host: ${secret}`, file, url()], /Host/],
      ['a BITS header', () => ['--header', `BITS-Session-Id: ${secret}`, file, url()], /BITS/],
      ['a control character', () => ['--header', `X: ${secret}\u0001`, file, url()], /control/],
      ['a small fragment', () => ['--fragment-size', '5119', file, url()], /between 5120/],
      ['a huge fragment', () => ['--fragment-size', '3GiB', file, url()], /2147483648/],
      ['a negative fragment', () => ['--fragment-size', '-1', file, url()], /--fragment-size/],
      ['a spool size of zero', () => ['--spool-size', '0', '-', `${url()}x`], /between 1 and/],
      [
        'a spool size without standard input',
        () => ['--spool-size', '1GiB', file, url()],
        /standard input/,
      ],
      ['a negative timeout', () => ['--timeout=-3s', file, url()], /--timeout/],
      ['a timeout without unit', () => ['--timeout', '3', file, url()], /500ms, 3s/],
      [
        'no transfers',
        () => ['--transfers=0', file, url()],
        /--transfers takes auto or .* 1 to 32/,
      ],
      ['too many transfers', () => ['--transfers=33', file, url()], /--transfers takes auto or/],
      ['transfers in words', () => ['--transfers=many', file, url()], /--transfers takes auto or/],
      ['negative retries', () => ['--retries', '-1', file, url()], /--retries/],
      ['an unknown option', () => ['--retrys', '1', file, url()], /--retrys.*--retries/],
      [
        'a misspelt option with a secret',
        () => [`--haeder=X: ${secret}`, file, url()],
        /--haeder…'/,
      ],
      ['an option without value', () => [file, url(), '--timeout'], /--timeout.*missing/],
      [
        'two destinations for the reply',
        () => ['--reply', '--reply-file=x', file, url()],
        /exclude/,
      ],
      ['--reply-optional alone', () => ['--reply-optional', file, url()], /--reply/],
    ];

    beforeEach(() => serve());

    for (const [what, args, message] of cases) {
      it(`exits with 2 for ${what}, without a request and without showing a secret`, async () => {
        const { code, stdout, stderr } = await put(args());
        expect(stderr).to.match(message);
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
        expect(stderr).not.to.match(/s3cret|p4ss|w@rd/);
        expect(server.connections).to.equal(0);
      });

      it(`prints an error object with --json for ${what}`, async () => {
        const { code, stdout, events } = await put(['--json', ...args()]);
        expect(code).to.equal(2);
        expect(stdout).not.to.match(/s3cret|p4ss|w@rd/);
        const objects = events();
        expect(objects).to.have.length(1);
        const [error] = objects;
        expect(error).to.include({ type: 'error', code: 'BITS_ERR_ARGUMENT', retryable: false });
        expect(error).to.have.all.keys('type', 'file', 'url', 'code', 'message', 'retryable');
      });
    }

    it('exits with 2 for a file without permission to read', async function () {
      if (process.getuid === undefined || process.getuid() === 0)
        skip(this, 'needs a user who is not root, and modes of files');
      await chmod(file, 0);
      const { code, stderr } = await put([file, server.url]);
      expect(code).to.equal(2);
      expect(stderr).to.contain('No permission');
    });

    it('refuses a reply on standard output together with --json', async () => {
      const { code, stderr } = await put(['--json', '--reply', file, server.url]);
      expect(code).to.equal(2);
      expect(stderr).to.contain('--reply-file');
    });
  });

  it('leaves no part of a refused file on the server', async () => {
    await serve();
    await mkdir(join(server.root, 'x.bin'));
    const { code } = await put([file, `${server.url}x.bin`]);
    expect(code).to.equal(1);
    expect(await readdir(join(server.root, 'x.bin'))).to.be.empty;
  });
});
