import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { build } from 'esbuild';
import { removeOldTempFiles, replaceFile } from '../../src/common/atomic-file.js';
import { NEEDS, skip, skipWithoutLinks } from '../support/skip.js';

const isRoot = process.getuid?.() === 0;
const posix = process.platform !== 'win32';

const failure = (code?: string) => Object.assign(new Error('made by the test'), { code });

describe('an atomic file', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'bits-atomic-'));
    path = join(directory, 'file');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('has the new content, and no other name is left', async () => {
    await replaceFile(path, 'old');
    await replaceFile(path, 'new');
    expect(await readFile(path, 'utf8')).to.equal('new');
    expect(await readdir(directory)).to.deep.equal(['file']);
  });

  it('is readable for its owner alone, whatever the former one was', async function () {
    if (!posix) skip(this, NEEDS.modes);
    await writeFile(path, 'old');
    await chmod(path, 0o644);
    await replaceFile(path, 'new');
    expect((await lstat(path)).mode & 0o777).to.equal(0o600);
  });

  it('takes the place of a symbolic link, which is not followed', async function () {
    skipWithoutLinks(this);
    const target = join(directory, 'target');
    await writeFile(target, 'of somebody else');
    await symlink(target, path);
    await replaceFile(path, 'new');
    expect((await lstat(path)).isFile()).to.equal(true);
    expect(await readFile(target, 'utf8')).to.equal('of somebody else');
  });

  it('is written under a name that differs each time', async () => {
    const writes = Array.from({ length: 20 }, () => replaceFile(path, 'x'.repeat(100_000)));
    let ended = false;
    const all = Promise.all(writes).finally(() => {
      ended = true;
    });
    const names = new Set<string>();
    while (!ended) for (const name of await readdir(directory)) names.add(name);
    await all;
    names.delete('file');
    expect([...names].every((name) => /^file\.[0-9a-f]{16}\.tmp$/.test(name))).to.equal(true);
    expect(names.size).to.be.greaterThan(1);
  });

  it('stays as it was, and nothing is left, when it cannot be replaced', async () => {
    await mkdir(join(path, 'inner'), { recursive: true });
    const error = await replaceFile(path, 'new').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.an('error');
    expect(await readdir(directory)).to.deep.equal(['file']);
  });

  describe('when its sync', () => {
    let prototype: { sync: FileHandle['sync'] };
    let sync: FileHandle['sync'];
    beforeEach(async () => {
      const handle = await open(path, 'w');
      prototype = Object.getPrototypeOf(handle);
      await handle.close();
      ({ sync } = prototype);
      await writeFile(path, 'old');
    });
    afterEach(() => {
      prototype.sync = sync;
    });

    /** Fails for the file or for its directory, whichever is synced at that time. */
    function failAt(time: number, error: Error): void {
      let calls = 0;
      prototype.sync = function (this: FileHandle) {
        calls += 1;
        if (calls === time) throw error;
        return sync.call(this);
      };
    }

    it('says that the disk failed, keeps the old content', async () => {
      failAt(1, failure('EIO'));
      expect(await replaceFile(path, 'new').catch((error) => error.code)).to.equal('EIO');
      expect(await readFile(path, 'utf8')).to.equal('old');
      expect(await readdir(directory)).to.deep.equal(['file']);
    });

    it('is not known to the system, has the new content all the same', async () => {
      for (const [time, code] of [
        [1, undefined],
        [1, 'EINVAL'],
        [1, 'ERR_ACCESS_DENIED'],
        [2, 'EISDIR'],
        [2, 'EPERM'],
      ] as const) {
        failAt(time, failure(code));
        await replaceFile(path, `${code}`);
        expect(await readFile(path, 'utf8')).to.equal(`${code}`);
      }
    });

    it('says that the disk failed to keep the new name, is reported as not kept', async () => {
      failAt(2, failure('EIO'));
      expect(await replaceFile(path, 'new').catch((error) => error.code)).to.equal('EIO');
    });

    it('of the name is not asked for, because the former content would do, is not used', async () => {
      failAt(2, failure('EIO'));
      await replaceFile(path, 'new', { afterPowerCut: 'new-or-old' });
      expect(await readFile(path, 'utf8')).to.equal('new');
    });

    it('is not asked for, because the content need not outlive the machine, is not used', async () => {
      failAt(1, failure('EIO'));
      await replaceFile(path, 'new', { afterPowerCut: 'nothing' });
      expect(await readFile(path, 'utf8')).to.equal('new');
    });
  });

  it('waits for a moment when something holds the former file', async function () {
    if (!isRoot || process.platform !== 'linux') skip(this, 'needs root on Linux');
    await writeFile(path, 'old');
    try {
      execFileSync('mount', ['--bind', path, path], { stdio: 'pipe' });
    } catch {
      skip(this, 'needs the right to mount');
    }
    const replaced = replaceFile(path, 'new');
    // A mount point is busy; the first attempt has failed when the temporary file is complete.
    while ((await readdir(directory)).length < 2) await new Promise(setImmediate);
    execFileSync('umount', [path]);
    await replaced;
    expect(await readFile(path, 'utf8')).to.equal('new');
  });

  const PERMISSION = ['--permission', '--experimental-permission'].find((flag) =>
    process.allowedNodeEnvironmentFlags.has(flag),
  );
  const programs: [string, 'esm' | 'cjs', string[]][] = [
    ['in an ESM bundle', 'esm', []],
    ['in a CommonJS bundle', 'cjs', []],
    ["under Node's permission model", 'esm', [`${PERMISSION}`, '--allow-fs-read=*']],
  ];
  for (const [where, format, flags] of programs) {
    it(`is written ${where}`, async function () {
      if (flags.length > 0 && PERMISSION === undefined)
        skip(this, 'needs a Node with --permission');
      const outfile = join(directory, format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
      await build({
        stdin: {
          contents: `import { replaceFile } from './src/common/atomic-file.ts';
            replaceFile(process.argv[2], 'new');`,
          resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
        },
        outfile,
        format,
        bundle: true,
        platform: 'node',
      });
      const allowed = flags.length > 0 ? [...flags, `--allow-fs-write=${directory}/*`] : [];
      execFileSync(process.execPath, [...allowed, outfile, path], { stdio: 'pipe' });
      expect(await readFile(path, 'utf8')).to.equal('new');
    });
  }
});

describe('the removal of old temporary files', () => {
  it('spares what is young, what has another name, and goes on with the rest another time', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'bits-atomic-'));
    const oldOnes = Array.from(
      { length: 130 },
      (_, n) => `x.${n.toString(16).padStart(16, '0')}.tmp`,
    );
    const spared = ['x.fedcba9876543210.tmp', 'x.tmp', 'x.0123456789abcdef.tmp.json'];
    try {
      for (const name of [...oldOnes, ...spared]) await writeFile(join(directory, name), '');
      const [, ...others] = spared;
      // Set back since, a clock shows times in the future.
      for (const [index, name] of [...oldOnes, ...others].entries()) {
        const days = index % 2 === 0 ? 2 : -2;
        const time = Date.now() / 1000 + days * 86_400;
        await utimes(join(directory, name), time, time);
      }
      for (const left of [30, 0]) {
        const names = (await readdir(directory)).sort();
        await removeOldTempFiles(directory, names);
        expect(await readdir(directory)).to.have.lengthOf(left + spared.length);
      }
      expect(await readdir(directory)).to.have.members(spared);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
