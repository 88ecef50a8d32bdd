import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, unlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { createSpoolFile } from '../../src/source/spool-file.js';
import { useTempDir } from '../support/files.js';
import { NEEDS, skip, skipOnWindows } from '../support/skip.js';
import { errorOf, openFileSizesUnder, openFilesUnder } from './reading.js';

const CHILD = fileURLToPath(new URL('./spool-child.ts', import.meta.url));

const refused = () => {
  throw Object.assign(new Error('busy'), { code: 'EBUSY' });
};

describe('createSpoolFile', () => {
  const dir = useTempDir();

  it('has no name, yet stores bytes', async function () {
    skipOnWindows(this, 'unlink');
    const spool = await createSpoolFile(dir.path);
    expect(await readdir(dir.path)).to.deep.equal([]);
    await spool.handle.writeFile('abc');
    const { buffer } = await spool.handle.read(Buffer.alloc(3), 0, 3, 0);
    expect(buffer.toString()).to.equal('abc');
    await spool.remove();
    expect((await openFilesUnder(dir.path)) ?? []).to.deep.equal([]);
  });

  it('can be read by this user alone', async function () {
    skipOnWindows(this, 'modes');
    const spool = await createSpoolFile(dir.path);
    expect((await spool.handle.stat()).mode & 0o777).to.equal(0o600);
    await spool.remove();
  });

  for (const [title, change] of [
    ['ignores permissions', (path: string) => chmodSync(path, 0o644)],
    ['maps owners', (path: string) => chownSync(path, 65534, 65534)],
  ] as const)
    it(`refuses a file system that ${title}, and leaves nothing on it`, async function () {
      const isAllowed = title === 'ignores permissions' || process.geteuid?.() === 0;
      if (process.platform === 'win32' || !isAllowed) return skip(this, NEEDS.modes);
      const unlink = (path: string) => {
        change(path);
        unlinkSync(path);
      };
      const error = await errorOf(createSpoolFile(dir.path, unlink));
      expect(error?.code).to.equal('BITS_ERR_ARGUMENT');
      expect(error?.message).to.include(dir.path).and.include('Other users');
      expect(await readdir(dir.path)).to.deep.equal([]);
      expect((await openFilesUnder(dir.path)) ?? []).to.deep.equal([]);
    });

  it('refuses a directory that does not exist, and names it', async () => {
    const error = await errorOf(createSpoolFile(`${dir.path}/none`));
    expect(error?.code).to.equal('BITS_ERR_ARGUMENT');
    expect(error?.message).to.include(`${dir.path}/none`);
  });

  it('refuses a system temp directory that does not exist, and names its environment variable', async () => {
    const variable = process.platform === 'win32' ? 'TEMP' : 'TMPDIR';
    const script = `
      const { createSpoolFile } = await import('./src/source/spool-file.ts');
      process.env.${variable} = ${JSON.stringify(`${dir.path}/none`)};
      await createSpoolFile().catch((error) => console.log(error.message));`;
    // In a process of its own: one that has been another user for a moment may not ask for it.
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { cwd: new URL('../..', import.meta.url) },
    );
    expect(stdout).to.include(`set ${variable} to a directory that can be written to`);
  });

  describe('on a system where an open file keeps its name', () => {
    it('loses the name when it is removed, and the last one removes the exit listener', async () => {
      const hooks = process.listenerCount('exit');
      let refuse = true;
      const unlink = (path: string) => (refuse ? refused() : unlinked.push(path));
      const unlinked: string[] = [];
      const spools = [
        await createSpoolFile(dir.path, unlink),
        await createSpoolFile(dir.path, unlink),
      ];
      expect(process.listenerCount('exit')).to.equal(hooks + 1);
      refuse = false;
      for (const spool of spools) await spool.remove();
      expect(process.listenerCount('exit')).to.equal(hooks);
      expect(unlinked.sort()).to.deep.equal(
        (await readdir(dir.path)).map((name) => join(dir.path, name)).sort(),
      );
    });

    for (const what of ['exit-while-named', 'crash-while-named'])
      it(`loses the name at the ${what.split('-')[0]} of the process`, async () => {
        const child = new Child(dir.path, what);
        await child.ready;
        await child.exited;
        expect(await readdir(dir.path)).to.deep.equal([]);
      });
  });

  describe('when the process is killed', () => {
    for (const what of ['spooling', 'reading'])
      it(`leaves nothing while ${what}`, async function () {
        skipOnWindows(this, 'unlink');
        const child = new Child(dir.path, what);
        await child.ready;
        const held = await openFileSizesUnder(dir.path, child.process.pid);
        if (held !== undefined) expect(held).to.deep.equal([2 * 1024 * 1024]);
        child.process.kill('SIGKILL');
        expect(await child.exited).to.equal('SIGKILL');
        expect(await readdir(dir.path)).to.deep.equal([]);
      });
  });
});

/** `spool-child.ts` in a process of its own. */
class Child {
  readonly process: ChildProcess;
  readonly ready: Promise<unknown>;
  /** The signal that ended it. */
  readonly exited: Promise<NodeJS.Signals | null>;

  constructor(directory: string, what: string) {
    this.process = spawn(process.execPath, ['--import', 'tsx', CHILD, directory, what], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const output = this.process.stdout;
    if (output === null) throw new Error('no pipe');
    const exit = once(this.process, 'exit');
    this.exited = exit.then(([, signal]) => signal);
    const early = exit.then(() => Promise.reject(new Error('the child said nothing')));
    early.catch(() => {});
    this.ready = Promise.race([once(createInterface(output), 'line'), early]);
  }
}
