import { execFileSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  copyFile,
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
import { tmpdir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { run } from '../../src/cli/program.js';
import {
  type BitsServer,
  type BitsServerOptions,
  createBitsServer,
} from '../../src/testing/index.js';
import { skip, skipOnWindows, skipWithoutLinks } from '../support/skip.js';
import { capturedIo, runCli } from './capture.js';

describe('put with trees and lists', () => {
  let directory: string;
  let server: BitsServer;
  let state: string;
  /** The directory that most tests upload. */
  let tree: string;

  const serve = async (options: BitsServerOptions = {}): Promise<void> => {
    server = await createBitsServer({ allowOverwrite: true, ...options });
  };

  const put = (args: readonly string[], stdin = '') =>
    runCli(['put', '--transfers=1', ...args], { state, stdin });

  const write = async (...names: string[]): Promise<void> => {
    for (const name of names) {
      await mkdir(dirname(join(tree, name)), { recursive: true });
      await writeFile(join(tree, name), `content of ${name}`);
    }
  };

  /** Moves what is in the tree out of it, with a link in its place. */
  const replaceByLink = async (name: string): Promise<void> => {
    const outside = join(directory, 'outside');
    await rename(join(tree, name), outside);
    // The file that an attacker wants has another inode.
    const file = name.includes('/') ? outside : join(outside, 'secret');
    await copyFile(file, `${file}-copy`);
    await rename(`${file}-copy`, file);
    await symlink(outside, join(tree, name));
  };

  /** What the server has, by path. */
  const stored = async (): Promise<string[]> => {
    const names = await readdir(server.root, { recursive: true, withFileTypes: true });
    return names
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(server.root.length + 1))
      .map((path) => path.replaceAll(sep, '/'))
      .sort();
  };

  const batches = (): Promise<string[]> => readdir(join(state, 'batches')).catch(() => []);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bits-tree-'));
    tree = join(directory, 'tree');
    state = join(directory, 'state');
  });

  afterEach(async () => {
    await server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  describe('of a directory', () => {
    it('keeps the tree under the URL, hidden files too, and encodes each name', async () => {
      await serve();
      await write('.hidden/.dot', 'a b/c#d/100%.txt', 'empty/ü.txt', 'z');
      const { code, lines, stderr } = await put(['-r', tree, server.url]);
      expect(code, stderr).to.equal(0);
      expect(lines).to.deep.equal([
        `${server.url}tree/.hidden/.dot`,
        `${server.url}tree/a%20b/c%23d/100%25.txt`,
        `${server.url}tree/empty/%C3%BC.txt`,
        `${server.url}tree/z`,
      ]);
      expect(await stored()).to.deep.equal([
        'tree/.hidden/.dot',
        'tree/a b/c#d/100%.txt',
        'tree/empty/ü.txt',
        'tree/z',
      ]);
      expect(await readFile(join(server.root, 'tree/z'), 'utf8')).to.equal('content of z');
    });

    it('leaves out its own name when it is given with a / at its end, and then takes no other', async () => {
      await serve();
      await write('a/b');
      expect((await put(['-r', `${tree}/`, server.url])).code).to.equal(0);
      expect(await stored()).to.deep.equal(['a/b']);
      const mixed = await put(['-r', `${tree}/`, tree, server.url]);
      expect(mixed.code).to.equal(2);
      expect(mixed.stderr).to.contain(`or give it as ${tree}, which keeps its name`);
    });

    it('follows links only with --follow-links, and reports a circle', async function () {
      skipWithoutLinks(this);
      await serve();
      await write('real/file');
      await symlink('real/file', join(tree, 'link'));
      await symlink('real', join(tree, 'other'));
      await symlink('..', join(tree, 'real', 'up'));
      const without = await put(['-r', `${tree}/`, server.url]);
      expect(without.code).to.equal(0);
      expect(without.stderr).to.contain('symbolic links left out: 3');
      expect(await stored()).to.deep.equal(['real/file']);
      const followed = await put(['-r', '--follow-links', `${tree}/`, `${server.url}x/`]);
      expect(followed.code).to.equal(3);
      expect(followed.stderr).to.match(/real\/up is a link to a directory that it is in/);
      expect(await stored()).to.deep.equal(['real/file', 'x/link', 'x/other/file', 'x/real/file']);
    });

    for (const [what, replace] of [
      ['a file', () => replaceByLink('b/secret')],
      ['a directory', () => replaceByLink('b')],
    ] as const) {
      it(`does not follow a link that takes the place of ${what} after it was found`, async function () {
        skipWithoutLinks(this);
        await write('a', 'b/secret', 'c');
        await serve({ onUpload: ({ url }) => (url.endsWith('/a') ? replace() : undefined) });
        const { code, stderr } = await put(['-r', `${tree}/`, server.url]);
        expect(stderr).to.match(/was replaced by a symbolic link .*--follow-links/);
        expect(code).to.equal(3);
        expect(await stored()).to.deep.equal(['a', 'c']);
      });
    }

    it('sends a file that replaced another one after it was found, and no FIFO', async function () {
      skipOnWindows(this, 'fifo');
      await write('a', 'b', 'c');
      const replace = async () => {
        await writeFile(join(directory, 'new'), 'new content');
        await rename(join(directory, 'new'), join(tree, 'b'));
        await rm(join(tree, 'c'));
        execFileSync('mkfifo', [join(tree, 'c')]);
      };
      await serve({ onUpload: ({ url }) => (url.endsWith('/a') ? replace() : undefined) });
      const { code, stderr } = await put(['-r', `${tree}/`, server.url]);
      expect(code).to.equal(3);
      expect(stderr).to.contain('c is a FIFO');
      expect(await stored()).to.deep.equal(['a', 'b']);
      expect(await readFile(join(server.root, 'b'), 'utf8')).to.equal('new content');
    });

    it('leaves out what is no regular file, and says so', async function () {
      skipOnWindows(this, 'fifo');
      await serve();
      await write('a');
      execFileSync('mkfifo', [join(tree, 'pipe')]);
      const { code, objects } = await put(['--json', '-r', tree, server.url]);
      expect(code).to.equal(0);
      expect(objects().find(({ type }) => type === 'skipped')).to.deep.equal({
        type: 'skipped',
        file: join(tree, 'pipe'),
        url: `${server.url}tree/pipe`,
        reason: 'special',
      });
      expect(objects().at(-1)).to.include({ type: 'summary', files: 1, succeeded: 1, skipped: 0 });
    });

    it('refuses names in one directory that are one file on Windows, and uploads the rest', async function () {
      if (process.platform !== 'linux') skip(this, 'needs names that differ in case alone');
      await serve();
      await write('a/readme', 'a/README', 'b/readme', 'C/x', 'c/x', 'c /y');
      const { code, objects } = await put(['--json', '-r', `${tree}/`, server.url]);
      expect(code).to.equal(3);
      const failed = objects().filter(({ type }) => type === 'error');
      expect(failed.map(({ file }) => file)).to.deep.equal(
        ['C', 'a/README', 'a/readme', 'c', 'c '].map((name) => join(tree, name)),
      );
      expect(failed[0]?.message).to.contain('would be the same file on a Windows server');
      expect(await stored()).to.deep.equal(['b/readme']);
    });

    it('reports a directory that cannot be read, and uploads the rest', async function () {
      if (process.getuid === undefined || process.getuid() === 0) {
        skip(this, 'needs a user who is not root, and modes of files');
      }
      await serve();
      await write('a/x', 'b/x');
      await chmod(join(tree, 'a'), 0);
      const { code, stderr } = await put(['-r', `${tree}/`, server.url]);
      await chmod(join(tree, 'a'), 0o700);
      expect(code).to.equal(3);
      expect(stderr).to.match(/the directory .*a cannot be read \(EACCES\): check the rights/);
      expect(await stored()).to.deep.equal(['b/x']);
    });

    it('sends what globs include and do not exclude, at any depth or at one path', async () => {
      await write('a.log', 'a.txt', 'deep/er/b.log', 'deep/c.log', 'tmp/d.log', '.log');
      await serve();
      const cases: [args: string[], expected: string[]][] = [
        [['--include', '*.txt'], ['a.txt']],
        [
          ['--include=*.log', '--exclude=tmp/'],
          ['.log', 'a.log', 'deep/c.log', 'deep/er/b.log'],
        ],
        [['--include=/*.log'], ['.log', 'a.log']],
        [['--include=deep', '--exclude=er'], ['deep/c.log']],
        [
          ['--include=deep/*.log', '--include=a.*'],
          ['a.log', 'a.txt', 'deep/c.log'],
        ],
        [['--exclude=**/*.log'], ['a.txt']],
      ];
      for (const [args, expected] of cases) {
        const planned = await put(['--dry-run', '--json', '-r', ...args, `${tree}/`, server.url]);
        const files = planned.objects().filter(({ type }) => type === 'planned');
        expect(
          files.map(({ url }) => String(url).slice(server.url.length)),
          args.join(' '),
        ).to.deep.equal(expected);
      }
    });

    it('excludes files below names with line breaks, too', async function () {
      skipOnWindows(this, 'names');
      await serve();
      await write('a', 'line\nbreak/secret.tmp', '\n.tmp');
      const { stdout } = await put(['--dry-run', '-r', '--exclude=*.tmp', `${tree}/`, server.url]);
      expect(stdout).to.equal(`${tree}/a -> ${server.url}a (12 B)\n`);
    });

    it('looks for files while others are sent', async () => {
      await write(...Array.from({ length: 80 }, (_, index) => `a/${index}`), 'z/first');
      const late = join(tree, 'z', 'late');
      await serve({
        onUpload: ({ url }) => (url.endsWith('/a/0') ? writeFile(late, '') : undefined),
      });
      expect((await put(['--transfers=4', '-r', tree, server.url])).code).to.equal(0);
      expect(await stored()).to.include('tree/z/late');
    });

    it('warns when there is nothing to upload', async () => {
      await serve();
      await mkdir(tree);
      const { code, stderr } = await put(['-r', tree, server.url]);
      expect(code).to.equal(0);
      expect(stderr).to.contain('there is no file to upload');
    });

    it('lists with --dry-run what would go where, and sends nothing', async () => {
      await serve();
      await write('a', 'b/c');
      const { code, stdout, stderr } = await put([
        '--dry-run',
        '-r',
        tree,
        `${tree}/a`,
        server.url,
      ]);
      expect(code).to.equal(0);
      expect(stdout).to.equal(
        `${join(tree, 'a')} -> ${server.url}tree/a (12 B)\n` +
          `${join(tree, 'b', 'c')} -> ${server.url}tree/b/c (14 B)\n` +
          `${tree}/a -> ${server.url}a (12 B)\n`,
      );
      expect(stderr).to.equal('3 of 3 files, 38 B, would be sent\n');
      expect(server.connections).to.equal(0);
      expect(await batches()).to.deep.equal([]);
    });

    it('stops with --fail-fast when the first file fails', async () => {
      await serve({ allowOverwrite: false });
      await write(...Array.from({ length: 100 }, (_, index) => `${index}`));
      await writeFile(join(server.root, '10'), 'there');
      const { code, stderr } = await put(['--fail-fast', '-r', `${tree}/`, server.url]);
      expect(code).to.equal(3);
      expect(stderr).to.match(/stopped by --fail-fast; not begun: .*\n.*stopped before all files/);
      expect(await stored()).to.have.length.below(5);
    });
  });

  describe('of a list', () => {
    it('takes paths below a directory from a file or standard input, and keeps them', async () => {
      // Windows has no such names.
      const strange = process.platform === 'win32' ? 'strange name' : 'strange\nname';
      await serve();
      await write('a/b.txt', 'c.txt', 'd.log', strange);
      const list = join(directory, 'list');
      await writeFile(list, `\ufeff./a/b.txt\r\n\r\n${join(tree, 'c.txt')}\r\nd.log`);
      const args = ['--exclude=*.log', '--files-from'];
      const { code, lines } = await put([...args, list, tree, server.url]);
      expect(code).to.equal(0);
      expect(lines).to.deep.equal([`${server.url}a/b.txt`, `${server.url}c.txt`]);
      const nul = ['-0', '--dry-run', ...args, '-', tree, server.url];
      expect((await put(nul, `${strange}\0a/b.txt\0`)).stdout).to.contain(
        `-> ${server.url}${encodeURIComponent(strange)} (`,
      );
    });

    it('stops while a list is read that does not end', async () => {
      await serve();
      const io = capturedIo({ state });
      const closed = Object.assign(new Error('closed'), { code: 'EPIPE' });
      const stdin = new Readable({ read: () => io.stdout.emit('error', closed) });
      const list = ['put', '--files-from=-', tree, server.url];
      expect(await run(list, { ...io, stdin })).to.equal(1);
      expect(server.log).to.deep.equal([]);
    });

    it('uploads the rest when it lists a directory or what is missing', async () => {
      await serve();
      await write('a', 'd/x');
      const { code, stderr } = await put(['--files-from=-', tree, server.url], 'd\nno\na\n');
      expect(code).to.equal(3);
      expect(stderr)
        .to.contain('d: it is a directory: list only files')
        .and.contain('There is no file');
      expect(await stored()).to.deep.equal(['a']);
    });

    it('sends a file once that is named several times, with a warning', async () => {
      await serve();
      await write('a', 'b');
      const [a, b] = [join(tree, 'a'), join(tree, 'b')];
      const here = join(directory, 'tree', '.', 'a');
      const manifest = join(directory, 'manifest.csv');
      await writeFile(
        manifest,
        ['Source,Destination', `${a},${server.url}a`, `${tree}/./a,${server.url}a`].join('\n'),
      );
      for (const [args, list, again] of [
        [['--files-from=-', tree], `a\n./a\n${here}\nb\n`, `./a, ${here}`],
        [[a, `${tree}/./a`, b], '', `${tree}/./a`],
        [[a, a], '', a],
        [['-r', tree, `${directory}/./tree`], '', `${directory}/./tree`],
        [['--manifest', manifest], '', `${tree}/./a`],
      ] as const) {
        const position = server.log.length;
        const url = args[0] === '--manifest' ? [] : [server.url];
        const { code, stderr } = await put([...args, ...url], list);
        expect(code, stderr).to.equal(0);
        expect(stderr).to.contain(`warning: named more than once, and sent once: ${again}\n`);
        const created = server.log
          .slice(position)
          .filter(({ packet }) => packet === 'create-session');
        expect(new Set(created.map(({ target }) => target))).to.have.property(
          'size',
          created.length,
        );
      }
    });

    it('refuses two files for one URL before anything is sent', async () => {
      await serve();
      await write('a', 'x/a');
      const [a, other] = [join(tree, 'a'), join(tree, 'x/a')];
      const manifest = join(directory, 'manifest.csv');
      await writeFile(
        manifest,
        `Source,Destination\n${a},${server.url}a\n${other},${server.url}a\n`,
      );
      for (const args of [
        [a, other, server.url],
        ['--manifest', manifest],
      ]) {
        const { code, stderr } = await put(args);
        expect(code).to.equal(2);
        expect(stderr).to.contain(`${a} and ${other} would have the same URL`);
      }
      expect(server.connections).to.equal(0);
    });

    it('refuses what is outside of the directory, or would be one file, before anything is sent', async () => {
      await serve();
      await write('a', 'A');
      for (const [list, message] of [
        ['a\n../x', /lists \.\.\/x, which is not in /],
        [`a\n${directory}`, /which is not in /],
        ['a\nA', /same file on a Windows server/],
      ] as const) {
        const { code, stderr } = await put(['--files-from=-', tree, server.url], list);
        expect(code, list).to.equal(2);
        expect(stderr).to.match(message);
      }
      expect(server.connections).to.equal(0);
    });
  });

  describe('of a manifest', () => {
    const manifest = async (content: string | Buffer): Promise<string> => {
      const name = join(directory, 'manifest.csv');
      await writeFile(name, content);
      return name;
    };

    it('uploads each Source to its Destination, however PowerShell has written the file', async () => {
      await serve();
      await write('a, b.txt', 'c');
      const rows =
        `"Source","Destination","Priority"\r\n"${join(tree, 'a, b.txt')}","${server.url}x/one.txt","High"\r\n` +
        `${join(tree, 'c')},${server.url}\r\n`;
      for (const content of [
        rows,
        `#TYPE System.Management.Automation.PSCustomObject\r\n${rows}`,
        Buffer.from(`\ufeff${rows}`, 'utf16le'),
        `DESTINATION,source\n${server.url}x/one.txt,"${join(tree, 'a, b.txt')}"\n${server.url},${join(tree, 'c')}`,
      ]) {
        const { code, lines, stderr } = await put(['--manifest', await manifest(content)]);
        expect(code, stderr).to.equal(0);
        expect(lines).to.deep.equal([`${server.url}x/one.txt`, `${server.url}c`]);
      }
    });

    it('names the line that is wrong, and sends nothing', async () => {
      await serve();
      await write('a');
      const a = join(tree, 'a');
      for (const [content, message] of [
        ['', /needs the columns Source and Destination.* must be Source,Destination/],
        ['Source;Destination\na;b', /needs the columns/],
        ['Source,Destination\n"a,b\n', /line \d: a quote is wrong/],
        ['"Source";"Destination"\n"a";"b"', /line 1: .* the separator is no comma/],
        [Buffer.from('Source,Destination\nb\xe4r,x', 'latin1'), /not in UTF-8: save it as UTF-8/],
        [`Source,Destination\n${a},\n`, /line 2: the Destination is missing/],
        [`Source,Destination\n\n${a},bits.example\n`, /line 3: The URL must start with http/],
        [
          `Source,Destination\n${a},${server.url}X\n${a},${server.url}x\n`,
          /same file on a Windows/,
        ],
      ] as const) {
        const { code, stderr } = await put(['--manifest', await manifest(content)]);
        expect(code, content.toString()).to.equal(2);
        expect(stderr).to.match(message);
      }
      expect(server.connections).to.equal(0);
    });

    it('sends credentials to one host only, unless --trusted-host allows more', async () => {
      await serve();
      await write('a');
      const a = join(tree, 'a');
      const name = await manifest(
        `Source,Destination\n${a},${server.url}a\n${a},http://localhost:${new URL(server.url).port}/b\n`,
      );
      const { code, stderr } = await put(['-H', 'X-Key: s3cret', '--manifest', name]);
      expect(code).to.equal(2);
      expect(stderr)
        .to.match(/several hosts/)
        .and.not.contain('s3cret');
      expect(server.connections).to.equal(0);
    });
  });

  describe('given again', () => {
    beforeEach(async () => {
      await write('1', '2', 'sub/3');
      await serve({ allowOverwrite: true });
    });

    const failing = () => server.addFault({ on: 'create-session', nth: 2, do: { status: 403 } });
    const sent = () => server.log.filter(({ packet }) => packet === 'close-session').length;

    it('sends only what an earlier run did not finish, until all of it is done', async () => {
      failing();
      const args = ['-r', tree, server.url];
      expect((await put(args)).code).to.equal(3);
      const [name = ''] = await batches();
      const file = join(state, 'batches', name);
      if (process.platform !== 'win32') expect((await stat(file)).mode & 0o777).to.equal(0o600);
      expect(await readFile(file, 'utf8')).to.match(/^(?:[0-9a-f]{32}\n){2}$/);
      expect(sent()).to.equal(2);

      const again = await put(['--json', ...args]);
      expect(again.code).to.equal(0);
      expect(again.objects().at(-1)).to.include({ files: 3, succeeded: 1, skipped: 2, failed: 0 });
      expect(sent()).to.equal(3);
      expect(await batches()).to.deep.equal([]);
      expect((await put(args)).code).to.equal(0);
      expect(sent()).to.equal(6);
    });

    it('sends a file again that changed in size or time, and everything with --no-resume', async () => {
      failing();
      const args = ['-r', tree, server.url];
      await put(args);
      await appendFile(join(tree, '1'), '!');
      await utimes(join(tree, 'sub/3'), 1, 1);
      expect((await put(args)).lines).to.have.lengthOf(3);
      expect(await readFile(join(server.root, 'tree/1'), 'utf8')).to.equal('content of 1!');

      server.addFault({ on: 'create-session', nth: 2, do: { status: 403 } });
      await put(args);
      expect((await put(['--no-resume', ...args])).lines).to.have.lengthOf(3);
    });

    it('ignores a last line that a kill has cut, and what is no line', async () => {
      failing();
      const args = ['-r', tree, server.url];
      await put(args);
      const [name = ''] = await batches();
      const file = join(state, 'batches', name);
      const [first = ''] = (await readFile(file, 'utf8')).split('\n');
      await writeFile(file, `\0\0rubbish\n${first}\n${first.slice(0, 10)}`, { mode: 0o600 });
      server.addFault({ on: 'create-session', nth: 2, do: { status: 403 } });
      expect((await put(args)).lines).to.have.lengthOf(1);
      expect((await put(args)).lines).to.have.lengthOf(1);
      expect(await batches()).to.deep.equal([]);
    });

    it('does not mix the files of commands with other sources, filters or queries', async () => {
      failing();
      await put(['-r', tree, server.url]);
      const others = [
        ['-r', `${tree}/`, server.url],
        ['-r', '--exclude=no', tree, server.url],
        ['-r', tree, `${server.url}?a=b`],
        ['-r', tree, `${server.url}other/`],
      ];
      for (const args of others) expect((await put(args)).lines, args.join()).to.have.lengthOf(3);
    });

    describe('with a list on standard input', () => {
      const args = ['--files-from=-'];
      const putList = (list: string, ...more: string[]) =>
        put([...args, ...more, tree, server.url], list);

      it('keeps what is stored of one list while others are sent', async () => {
        failing();
        expect((await putList('1\n2\n')).code).to.equal(3);
        expect((await putList('sub/3\n')).code).to.equal(0);
        expect((await putList('2\n./1\n1\n')).lines).to.deep.equal([`${server.url}2`]);
        expect(await batches()).to.deep.equal([]);
      });

      it('does not send again what is stored of a list that has grown, until all of it is', async () => {
        failing();
        expect((await putList('1\n2\n')).code).to.equal(3);
        expect((await putList('1\n2\nsub/3\n', '--dry-run')).lines).to.have.lengthOf(2);
        const grown = await putList('1\n2\nsub/3\n');
        expect(grown.lines).to.deep.equal([`${server.url}2`, `${server.url}sub/3`]);
        expect(await batches()).to.deep.equal([]);
        expect((await putList('1\n2\n')).lines).to.have.lengthOf(2);
      });

      it('forgets only those files of another list that are stored', async () => {
        server.addFault({ on: 'create-session', nth: 3, do: { status: 403 } });
        expect((await putList('1\n2\nsub/3\n')).code).to.equal(3);
        expect((await putList('1\n')).lines).to.deep.equal([]);
        const left = await putList('1\n2\nsub/3\n');
        expect(left.lines).to.deep.equal([`${server.url}1`, `${server.url}sub/3`]);
      });

      it('forgets nothing of a list that another process sends', async () => {
        failing();
        expect((await putList('1\n2\n')).code).to.equal(3);
        server.addFault({ on: 'create-session', do: 'hang' });
        const first = putList('1\n2\n', '--max-time=3s');
        await server.waitForRequest('create-session', 3);
        expect((await putList('1\n')).lines).to.deep.equal([]);
        expect((await first).code).to.not.equal(0);
        expect((await putList('1\n2\n')).lines).to.deep.equal([`${server.url}2`]);
      });

      it('takes a missing file for removed only if the same list has sent it', async () => {
        failing();
        const remove = '--remove-source';
        expect((await putList('1\n2\n', remove)).code).to.equal(3);
        const other = await putList('1\nsub/3\n', remove);
        expect(other.code).to.equal(3);
        expect(other.stderr).to.contain('There is no file');
        expect((await putList('2\n1\n', remove)).code).to.equal(0);
      });

      it('is not refused while another list is sent', async () => {
        server.addFault({ on: 'create-session', do: 'hang' });
        const first = putList('1\n', '--max-time=3s');
        await server.waitForRequest('create-session');
        expect((await putList('2\n')).code).to.equal(0);
        expect((await putList('1\n')).stderr).to.contain('wait for its end');
        expect((await first).code).to.not.equal(0);
      });
    });

    it('sends a file again of which it is only presumed that it is stored', async () => {
      server.addFault({ on: 'close-session', nth: 2, do: 'reset-after-commit' });
      const args = ['-r', tree, server.url];
      const first = await put(['--json', ...args]);
      expect(first.code).to.equal(0);
      expect(first.objects().at(-1)).to.include({ succeeded: 3 });
      const again = await put(['--json', ...args]);
      expect(again.objects().at(-1)).to.include({ succeeded: 1, skipped: 2 });
      expect(await batches()).to.deep.equal([]);
    });

    it('is refused while another process runs it', async () => {
      server.addFault({ on: 'create-session', do: 'hang' });
      const args = ['-r', tree, server.url];
      const first = put(['--max-time=3s', ...args]);
      await server.waitForRequest('create-session');
      const second = await put(args);
      expect(second.code).to.equal(1);
      expect(second.stderr)
        .to.contain(`Process ${process.pid} on `)
        .and.contain('wait for its end');
      expect((await first).code).to.not.equal(0);
      expect((await put(args)).code).to.equal(0);
    });

    it('does not use a file that others can write to, and uploads nevertheless', async function () {
      skipOnWindows(this, 'modes');
      failing();
      const args = ['-r', tree, server.url];
      await put(args);
      const [name = ''] = await batches();
      await chmod(join(state, 'batches', name), 0o666);
      const { code, lines, stderr } = await put(args);
      expect(code).to.equal(0);
      expect(lines).to.have.lengthOf(3);
      expect(stderr).to.match(
        /will not be remembered which files are stored: .*others? users? can write/,
      );
    });
  });
});
