import { execFileSync } from 'node:child_process';
import * as nodeFs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { FileSink, type ReplyFileOptions } from '../../src/reply/file-sink.js';
import type { ReplyFileSystem } from '../../src/reply/file-system.js';
import { checkReplyFile } from '../../src/reply/file-target.js';
import { patterned, sha256 } from '../support/files.js';
import { skipOnWindows } from '../support/skip.js';
import { bitsError } from '../transport/support.js';

const { chmod, chown, link, mkdir, mkdtemp, readdir, readFile, rename, rm } = nodeFs;
const { stat, symlink, truncate, writeFile } = nodeFs;

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

/** The real file system, but some methods of the handles it opens are replaced. */
function failingHandles(
  methods: Record<string, (handle: nodeFs.FileHandle, args: unknown[]) => unknown>,
): ReplyFileSystem {
  const open = async (...args: Parameters<typeof nodeFs.open>) => {
    const handle = await nodeFs.open(...args);
    return new Proxy(handle, {
      get(target, name) {
        const replaced = methods[String(name)];
        if (replaced) return (...given: unknown[]) => replaced(target, given);
        const value = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  return { ...nodeFs, open };
}

describe('a reply to a file', () => {
  let directory: string;
  let file: string;
  const bytes = patterned(5000);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'reply-file-'));
    file = join(directory, 'answer.bin');
  });
  afterEach(() => rm(directory, { recursive: true }));

  function create(changes: Partial<ReplyFileOptions> = {}): FileSink {
    return new FileSink({
      id: 'job-1',
      path: file,
      overwrite: false,
      sha256: true,
      ...changes,
    });
  }

  async function partPath(): Promise<string> {
    const name = (await readdir(directory)).find((entry) => entry.endsWith('.part'));
    if (name === undefined) throw new Error('there is no part file');
    return join(directory, name);
  }

  async function leaveHalf(): Promise<void> {
    const sink = create();
    await sink.open(0);
    await sink.write(bytes.subarray(0, 2000));
    await sink.close({ keepPartial: true });
  }

  async function store(sink: FileSink, data = bytes) {
    await sink.open(0);
    await sink.write(data);
    return sink.finish();
  }

  it('appears when it is whole and leaves nothing else', async () => {
    const sink = create();
    await sink.open(0);
    await sink.write(bytes.subarray(0, 3000));
    expect(await readdir(directory))
      .to.have.length(1)
      .and.not.include('answer.bin');
    await sink.write(bytes.subarray(3000));
    expect(await sink.finish()).to.deep.equal({ bytes: 5000, file, sha256: sha256(bytes) });
    await sink.close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('resumes where another process stopped, hash included', async () => {
    await leaveHalf();
    const sink = create();
    expect(await sink.open(2000)).to.equal(undefined);
    expect(sink.keptBytes).to.equal(2000);
    await sink.write(bytes.subarray(2000));
    expect((await sink.finish()).sha256).to.equal(sha256(bytes));
    expect(await readFile(file)).to.deep.equal(bytes);
    await sink.close({ keepPartial: false });
  });

  it('trusts the smaller of the record and the part file', async () => {
    await leaveHalf();
    const behind = create();
    await behind.open(1500);
    expect(behind.keptBytes).to.equal(1500);
    await behind.close({ keepPartial: true });
    expect((await stat(await partPath())).size).to.equal(1500);

    const ahead = create();
    await ahead.open(9000);
    expect(ahead.keptBytes).to.equal(1500);
    await ahead.close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal([]);
  });

  it("is stored where Node's permission model forbids fsync", async () => {
    const fs = failingHandles({ sync: () => Promise.reject(systemError('ERR_ACCESS_DENIED')) });
    const sink = create({ fs });
    expect(await store(sink)).to.deep.equal({ bytes: 5000, file, sha256: sha256(bytes) });
    expect(sink.durableBytes).to.equal(5000);
    await sink.close({ keepPartial: false });
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('never replaces a file that appeared meanwhile and keeps its bytes', async () => {
    const sink = create();
    await sink.open(0);
    await sink.write(bytes);
    await writeFile(file, 'precious');
    const error = await bitsError(sink.finish());
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    expect(error.message).to.include(file);
    expect(await readFile(file, 'utf8')).to.equal('precious');

    await rename(file, `${file}.old`);
    await sink.open(sink.keptBytes);
    expect(sink.keptBytes).to.equal(5000);
    await sink.finish();
    expect(await readFile(file)).to.deep.equal(bytes);
    await sink.close({ keepPartial: false });
  });

  it('never replaces such a file where there are no hard links', async () => {
    const fs = { ...nodeFs, link: () => Promise.reject(systemError('EPERM')) };
    const sink = create({ fs });
    await sink.open(0);
    await sink.write(bytes);
    await writeFile(file, 'precious');
    expect((await bitsError(sink.finish())).message).to.include('EEXIST');
    expect(await readFile(file, 'utf8')).to.equal('precious');

    await rm(file);
    await sink.open(sink.keptBytes);
    await sink.finish();
    await sink.close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('never replaces what somebody writes to its reservation there', async () => {
    const fs: ReplyFileSystem = {
      ...nodeFs,
      link: () => Promise.reject(systemError('EPERM')),
      async open(path, flags, mode) {
        const handle = await nodeFs.open(path, flags, mode);
        if (path === file) await writeFile(file, 'precious');
        return handle;
      },
    };
    const sink = create({ fs });
    expect((await bitsError(store(sink))).message).to.include('EEXIST');
    expect(await readFile(file, 'utf8')).to.equal('precious');
    await sink.close({ keepPartial: false });
  });

  it('removes its reservation when the rename fails there', async () => {
    const fs = {
      ...nodeFs,
      link: () => Promise.reject(systemError('EPERM')),
      rename: () => Promise.reject(systemError('EIO')),
    };
    const sink = create({ fs });
    expect((await bitsError(store(sink))).message).to.include('EIO');
    expect(await readdir(directory)).to.not.include('answer.bin');
    await sink.close({ keepPartial: false });
  });

  it('replaces a file when asked to, with its permissions', async function () {
    skipOnWindows(this, 'modes');
    await writeFile(file, 'old', { mode: 0o600 });
    const sink = create({ overwrite: true });
    await store(sink);
    await sink.close({ keepPartial: false });
    expect(await readFile(file)).to.deep.equal(bytes);
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
  });

  it('is recognized after it replaced a file and its process died', async () => {
    await writeFile(file, 'old');
    await store(create({ overwrite: true }));
    const next = create({ overwrite: true });
    expect(await next.open(5000)).to.include({ bytes: 5000, file });
    await next.close({ keepPartial: false });
    expect(await readFile(file)).to.deep.equal(bytes);
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
  });

  it('is fetched again when its file was written to after it was stored', async () => {
    await store(create({ overwrite: true }));
    await writeFile(file, 'x');
    const next = create({ overwrite: true });
    expect(await next.open(5000)).to.equal(undefined);
    await next.close({ keepPartial: false });
    expect(await readFile(file, 'utf8')).to.equal('x');
  });

  it('removes the second name that an earlier process left', async () => {
    const dying = create({ overwrite: true });
    await dying.open(0);
    const [part = ''] = await readdir(directory);
    await dying.release();
    await link(join(directory, part), join(directory, `${part}.new`));
    await create({ overwrite: true }).close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal([]);
  });

  it('leaves nothing where a file cannot be replaced', async () => {
    const fs = { ...nodeFs, rename: () => Promise.reject(systemError('EISDIR')) };
    const sink = create({ overwrite: true, fs });
    expect((await bitsError(store(sink))).message).to.include('EISDIR');
    await sink.close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal([]);
  });

  it('replaces a file also where there are no hard links', async () => {
    await writeFile(file, 'old');
    const fs = { ...nodeFs, link: () => Promise.reject(systemError('EPERM')) };
    const sink = create({ overwrite: true, fs });
    await store(sink);
    await sink.close({ keepPartial: false });
    expect(await readFile(file)).to.deep.equal(bytes);
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
  });

  it('replaces a symbolic link, not the file behind it', async () => {
    const behind = join(directory, 'behind');
    await writeFile(behind, 'behind');
    await symlink(behind, file);
    const sink = create({ overwrite: true });
    await store(sink);
    await sink.close({ keepPartial: false });
    expect(await readFile(behind, 'utf8')).to.equal('behind');
    expect(await readFile(file)).to.deep.equal(bytes);
  });

  it('is recognized after it was put in place and its process died', async () => {
    const dying = create();
    await store(dying);
    await checkReplyFile({ id: 'job-1', path: file, overwrite: false });

    const next = create();
    expect(await next.open(0)).to.deep.equal({ bytes: 5000, file, sha256: sha256(bytes) });
    // The session is not closed yet: another process may have to find it again.
    await next.close({ keepPartial: true });
    await checkReplyFile({ id: 'job-1', path: file, overwrite: false });
    const last = create();
    expect(await last.open(0)).to.include({ bytes: 5000 });
    await last.close({ keepPartial: false });
    expect(await readdir(directory)).to.deep.equal(['answer.bin']);
    const other = await bitsError(checkReplyFile({ id: 'job-1', path: file, overwrite: false }));
    expect(other.code).to.equal('BITS_ERR_ARGUMENT');
  });

  it('does not change an earlier reply that the user has moved away', async () => {
    await store(create());
    const moved = join(directory, 'moved.bin');
    await rename(file, moved);
    const sink = create();
    expect(await sink.open(0)).to.equal(undefined);
    await sink.write(patterned(10, 2));
    await sink.close({ keepPartial: false });
    expect(await readFile(moved)).to.deep.equal(bytes);
  });

  it('replaces what somebody else may have put in place of the part file', async function () {
    skipOnWindows(this, 'modes');
    await leaveHalf();
    const part = await partPath();
    const victim = join(directory, 'victim');
    const plants: Record<string, () => unknown> = {
      'a symbolic link': () => symlink(victim, part),
      'a second name of a file': () => link(victim, part),
      'a file that others may write to': async () => {
        await writeFile(part, 'planted');
        await chmod(part, 0o620);
      },
      'a FIFO': () => execFileSync('mkfifo', [part]),
      // Only root can give a file away.
      ...(process.getuid?.() === 0 && {
        'a file of another user': async () => {
          await writeFile(part, 'planted', { mode: 0o600 });
          await chown(part, 65_534, 65_534);
        },
      }),
    };
    for (const [what, plant] of Object.entries(plants)) {
      await writeFile(victim, 'victim', { mode: 0o600 });
      await rm(part);
      await plant();
      const sink = create();
      await sink.open(2000);
      expect(sink.keptBytes, what).to.equal(0);
      await sink.write(bytes);
      expect((await sink.finish()).sha256, what).to.equal(sha256(bytes));
      await sink.close({ keepPartial: false });
      expect(await readFile(victim, 'utf8'), what).to.equal('victim');
      expect(await readFile(file), what).to.deep.equal(bytes);
      await rm(file);
      await leaveHalf();
    }
  });

  it('fails when a directory is in place of the part file', async () => {
    await leaveHalf();
    const part = await partPath();
    await rm(part);
    await mkdir(part);
    const error = await bitsError(create().open(0));
    expect(error.code).to.equal('BITS_ERR_REPLY');
    expect(error.message).to.include(part);
  });

  it('is for its owner alone until it is whole, and then as any new file', async function () {
    skipOnWindows(this, 'modes');
    const sink = create();
    await sink.open(0);
    expect((await stat(await partPath())).mode & 0o777).to.equal(0o600);
    const before = process.umask(0o002);
    try {
      await sink.write(bytes);
      await sink.finish();
    } finally {
      process.umask(before);
    }
    await sink.close({ keepPartial: false });
    expect((await stat(file)).mode & 0o777).to.equal(0o664);
  });

  it('keeps its bytes when the disk is full and resumes afterwards', async () => {
    let room = 3000;
    const fs = failingHandles({
      async write(handle, args) {
        const [buffer, offset, length, position] = args as [Uint8Array, number, number, number];
        const end = Math.min(position + length, room);
        if (end <= position) throw systemError('ENOSPC');
        return handle.write(buffer, offset, end - position, position);
      },
    });
    const sink = create({ fs });
    await sink.open(0);
    await sink.write(bytes.subarray(0, 2500));
    const error = await bitsError(sink.write(bytes.subarray(2500)));
    expect([error.code, error.retryable]).to.deep.equal(['BITS_ERR_REPLY', false]);
    expect(error.message).to.include('disk is full');
    expect((error.cause as NodeJS.ErrnoException).code).to.equal('ENOSPC');
    await sink.release();
    expect(sink.durableBytes).to.equal(2500);

    room = 5000;
    await sink.open(sink.keptBytes);
    expect((await stat(await partPath())).size).to.equal(2500);
    await sink.write(bytes.subarray(2500));
    expect((await sink.finish()).sha256).to.equal(sha256(bytes));
    expect(await readFile(file)).to.deep.equal(bytes);
    await sink.close({ keepPartial: false });
  });

  it('trusts no byte that a failed sync may have lost', async () => {
    let broken = false;
    const fs = failingHandles({
      async sync(handle) {
        if (broken) throw systemError('EIO');
        return handle.sync();
      },
    });
    const sink = create({ fs });
    await sink.open(0);
    await sink.write(bytes.subarray(0, 1000));
    await sink.release();
    await sink.open(1000);
    await sink.write(bytes.subarray(1000, 4000));
    broken = true;
    await sink.release();
    expect([sink.keptBytes, sink.durableBytes]).to.deep.equal([1000, 1000]);
    broken = false;
    await sink.open(sink.keptBytes);
    await sink.write(bytes.subarray(1000));
    expect((await sink.finish()).sha256).to.equal(sha256(bytes));
    expect(await readFile(file)).to.deep.equal(bytes);
    await sink.close({ keepPartial: false });
  });

  it('counts bytes as durable only when they are synced', async () => {
    const sink = create();
    await sink.open(0);
    await sink.write(bytes);
    expect(sink.durableBytes).to.equal(0);
    await sink.release();
    expect(sink.durableBytes).to.equal(5000);
    await sink.close({ keepPartial: false });
  });

  it('syncs the file before it takes the name, and the directory after', async () => {
    const order: string[] = [];
    const probe = await nodeFs.open(directory);
    const handles = Object.getPrototypeOf(probe) as nodeFs.FileHandle;
    await probe.close();
    const { sync } = handles;
    handles.sync = async function (this: nodeFs.FileHandle) {
      order.push((await this.stat()).isDirectory() ? 'sync directory' : 'sync file');
      return sync.call(this);
    };
    const fs: ReplyFileSystem = {
      ...nodeFs,
      link: (from, to) => {
        order.push('link');
        return link(from, to);
      },
    };
    const sink = create({ fs });
    try {
      await store(sink);
    } finally {
      handles.sync = sync;
    }
    expect(order).to.deep.equal(['sync file', 'link', 'sync directory']);
    await sink.close({ keepPartial: false });
  });

  it('fails when the part file shrinks while it is read', async () => {
    await leaveHalf();
    const part = await partPath();
    const fs = failingHandles({
      async read(handle, args) {
        await truncate(part, 0);
        return handle.read(...(args as [Buffer, number, number, number]));
      },
    });
    const sink = create({ fs });
    expect((await bitsError(sink.open(2000))).code).to.equal('BITS_ERR_REPLY');
    await sink.close({ keepPartial: false });
  });
});
