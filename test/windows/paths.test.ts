import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, parse } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { run } from '../../src/cli/program.js';
import { createFileStore, UploadJob } from '../../src/index.js';
import { fileSource } from '../../src/source/file.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { capturedIo } from '../cli/capture.js';
import { Spawned } from '../cli/spawned.js';
import { failureOf } from '../store/records.js';
import { useTempDir } from '../support/files.js';
import { describeOnWindows } from '../support/skip.js';

describeOnWindows('paths of Windows', () => {
  const dir = useTempDir();
  const content = randomBytes(20_000);
  let server: BitsServer;
  let file: string;

  beforeEach(async () => {
    server = await createBitsServer();
    file = join(dir.path, 'a b.bin');
    await writeFile(file, content);
  });
  afterEach(() => server.close());

  const put = async (...args: string[]) => {
    const io = capturedIo({ state: join(dir.path, 'state') });
    const code = await run(['put', ...args], io);
    return { code, stdout: io.stdout.text, stderr: io.stderr.text };
  };

  const spellings: Record<string, (path: string) => string> = {
    'with a drive letter': (path) => path,
    'with a drive letter in lower case': (path) => path[0]?.toLowerCase() + path.slice(1),
    'with slashes': (path) => path.replaceAll('\\', '/'),
    'from the root of the drive': (path) => path.slice(2),
    'with \\\\?\\': (path) => `\\\\?\\${path}`,
    'with \\\\.\\': (path) => `\\\\.\\${path}`,
  };
  for (const [how, spelled] of Object.entries(spellings)) {
    it(`are those of files ${how}, whose name is that of the upload`, async () => {
      const path = spelled(file);
      // The drive of the file need not be the one that the tests run on.
      const before = process.cwd();
      process.chdir(parse(file).root);
      try {
        const { code, stdout, stderr } = await put(path, server.url);
        expect({ code, stdout }, stderr).to.deep.equal({
          code: 0,
          stdout: `${server.url}a%20b.bin\n`,
        });
      } finally {
        process.chdir(before);
      }
      expect(await readFile(join(server.root, 'a b.bin'))).to.deep.equal(content);
      server.assertNoViolations();
    });
  }

  it('are those of file: URLs', async () => {
    const { bytes } = await new UploadJob({
      url: `${server.url}x`,
      source: pathToFileURL(file),
    }).start();
    expect(bytes).to.equal(content.length);
  });

  it('lead to other machines, as paths and as file: URLs', async () => {
    const share = '\\\\127.0.0.1\\none\\dump.bin';
    for (const source of [share, new URL('file://127.0.0.1/none/dump.bin')]) {
      const job = new UploadJob({ url: `${server.url}x`, source });
      const error = await failureOf(job.start());
      expect(error)
        .to.have.property('code')
        .that.matches(/^BITS_ERR_(?:ARGUMENT|SOURCE)$/);
      expect(error.message).to.include(share);
    }
    expect(fileSource(share).name).to.equal('dump.bin');
    expect(server.connections).to.equal(0);
  });

  for (const [how, prefix] of [
    ['as they are', ''],
    ['with \\\\?\\', '\\\\?\\'],
  ] as const) {
    it(`can be longer than 260 characters ${how}: files, records and replies`, async () => {
      await server.close();
      server = await createBitsServer({ reply: () => 'answer' });
      const long = prefix + join(dir.path, ...Array<string>(6).fill('d'.repeat(60)));
      await mkdir(long, { recursive: true });
      await writeFile(join(long, 'data.bin'), content);
      const store = createFileStore({ directory: join(long, 'state') });
      const job = new UploadJob({
        url: `${server.url}x`,
        source: join(long, 'data.bin'),
        store,
        reply: { to: join(long, 'reply') },
      });
      await job.start();
      expect(await readFile(join(server.root, 'x'))).to.deep.equal(content);
      expect(await readFile(join(long, 'reply'), 'utf8')).to.equal('answer');
      expect((await readdir(long)).sort()).to.deep.equal(['data.bin', 'reply', 'state']);
      expect(await store.list()).to.deep.equal({ records: [], problems: [] });
    });
  }

  for (const name of ['NUL', 'nul', '\\\\.\\NUL']) {
    it(`are no files when they name the device ${name}`, async () => {
      const { code, stderr } = await put(name, server.url);
      expect(code, stderr).to.equal(2);
      // Node looks for a file of that name, unless the path says that it is a device.
      expect(stderr).to.match(/is a device, not a regular file|There is no file/);
      expect(server.connections).to.equal(0);
    });
  }

  it('of a reply can be no device', async () => {
    const { code, stderr } = await put('--reply-file', 'NUL', '--overwrite', file, server.url);
    expect(code, stderr).to.equal(2);
    expect(server.connections).to.equal(0);
  });

  it('with another colon name a stream of a file', async () => {
    expect(fileSource(`${file}:stream`).name).to.equal('a b.bin:stream');
    const { code, stderr } = await put(`${file}:none`, `${server.url}x`);
    expect(code, stderr).to.equal(2);
  });

  it('are shown as they are written, in messages and in records', async () => {
    server.addFault({ on: 'fragment', nth: 2, do: { status: 500 } });
    const state = join(dir.path, 'my state');
    const args = ['put', '--json', '--retries=0', '--fragment-size=8KiB', '--state-dir', state];
    const program = new Spawned([...args, file, server.url]);
    expect(await program.ended(), program.stderr).to.include({ code: 5 });
    const objects = program.stdout
      .split(/\r?\n/)
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    const { resumeCommand } = objects.find(({ type }) => type === 'error');
    expect(resumeCommand).to.include(` --state-dir "${state}" `);
    const { records } = await createFileStore({ directory: state }).list();
    expect(records.map(({ source }) => source.path)).to.deep.equal([file]);
  });

  it('of records are below %LOCALAPPDATA%, and not below %APPDATA%, which may be on a server', async () => {
    server.addFault({ on: 'fragment', nth: 2, do: { status: 500 } });
    const env = {
      LOCALAPPDATA: join(dir.path, 'Local'),
      APPDATA: join(dir.path, 'Roaming'),
      BITS_UPLOAD_STATE_DIR: '',
    };
    const args = ['put', '--quiet', '--retries=0', '--fragment-size=8KiB', file, server.url];
    expect(await new Spawned(args, { env }).ended()).to.include({ code: 5 });
    const jobs = join(env.LOCALAPPDATA, 'bits-upload', 'Data', 'jobs');
    const records = (await readdir(jobs)).filter((name) => name.endsWith('.json'));
    expect(records).to.have.lengthOf(1);
    const listing = new Spawned(['jobs'], { env });
    expect(await listing.ended()).to.include({ code: 0 });
    expect(listing.stdout).to.include(dirname(file));
    expect(await readdir(dir.path)).to.not.include('Roaming');
  });
});
