import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import {
  appendFile,
  chmod,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join, relative } from 'node:path';
import { expect } from 'chai';
import { BitsArgumentError } from '../../src/errors.js';
import { checkedFileSource, fileSource } from '../../src/source/file.js';
import type { OpenSource } from '../../src/source/source.js';
import { useTempDir } from '../support/files.js';
import { NEEDS, skip, skipOnWindows, skipWithoutLinks } from '../support/skip.js';
import { describeContract, pattern } from './contract.js';
import { codeOf, collect, errorOf, openFilesUnder } from './reading.js';

const MiB = 1024 * 1024;
const LONG_AGO = new Date('2001-02-03T04:05:06Z');

describe('fileSource', () => {
  const dir = useTempDir();
  const at = (name: string) => join(dir.path, name);

  describeContract('fileSource', {
    async make(bytes, name) {
      await writeFile(at(name), bytes);
      return { source: fileSource(at(name)) };
    },
  });

  describe('opening', () => {
    async function refusal(path: string) {
      const error = await errorOf(fileSource(path).open());
      expect(error).to.be.instanceOf(BitsArgumentError);
      expect((await openFilesUnder(dir.path)) ?? []).to.deep.equal([]);
      return error?.message;
    }

    it('says that no such file exists', async () => {
      expect(await refusal(at('none')))
        .to.include(at('none'))
        .and.include('no file');
    });

    it('says that a part of the path is not a directory', async () => {
      await writeFile(at('file'), 'x');
      // Windows makes no difference between this and a directory that is missing.
      const why = process.platform === 'win32' ? 'check the path' : 'not a directory';
      expect(await refusal(at('file/below')))
        .to.include('no file')
        .and.include(why);
    });

    it('says where a symbolic link leads when nothing is there', async function () {
      skipWithoutLinks(this);
      await symlink('../gone.bin', at('link'));
      const message = await refusal(at('link'));
      expect(message).to.include(
        `${at('link')} is a symbolic link to ../gone.bin, which does not exist`,
      );
    });

    it('says that symbolic links may form a circle', async function () {
      skipWithoutLinks(this);
      await symlink('b', at('a'));
      await symlink('a', at('b'));
      expect(await refusal(at('a')))
        .to.include(at('a'))
        .and.include('circle');
    });

    it('with a check does not open a link, and keeps nothing open that the check refuses', async function () {
      if (constants.O_NOFOLLOW === undefined) skip(this, 'needs O_NOFOLLOW');
      await writeFile(at('file'), 'x');
      await symlink('file', at('link'));
      const seen: unknown[] = [];
      const refusal = new BitsArgumentError('not what it was');
      const refuse = async (opened: unknown) => {
        seen.push(opened);
        if (opened !== undefined) throw refusal;
      };
      expect(await codeOf(checkedFileSource(at('link'), refuse).open())).to.equal(
        'BITS_ERR_ARGUMENT',
      );
      expect(seen).to.deep.equal([undefined]);
      expect(await errorOf(checkedFileSource(at('file'), refuse).open())).to.equal(refusal);
      expect((await openFilesUnder(dir.path)) ?? []).to.deep.equal([]);
    });

    it('says that a name with replacement characters may not be UTF-8', async function () {
      if (process.platform !== 'linux') return skip(this, 'needs names that are not UTF-8');
      await writeFile(Buffer.concat([Buffer.from(at('caf')), Buffer.of(0xe9)]), 'x');
      const [name = ''] = await readdir(dir.path);
      expect(await refusal(at(name)))
        .to.include(at('caf\ufffd'))
        .and.include('not UTF-8')
        .and.include('rename');
    });

    it('refuses a directory', async () => {
      expect(await refusal(dir.path))
        .to.include(dir.path)
        .and.include('a directory')
        .and.include('the files in it');
    });

    it('refuses a directory that a symbolic link leads to', async function () {
      skipWithoutLinks(this);
      await symlink(dir.path, at('link'));
      expect(await refusal(at('link'))).to.include('a directory');
    });

    it('refuses a file whose size is only known when it is read', async function () {
      if (process.platform !== 'linux') return skip(this, NEEDS.proc);
      expect(await refusal('/proc/version'))
        .to.include('/proc/version')
        .and.include('stream');
    });

    it('refuses a FIFO, without waiting for its writer', async function () {
      skipOnWindows(this, 'fifo');
      execFileSync('mkfifo', [at('fifo')]);
      expect(await refusal(at('fifo')))
        .to.include(at('fifo'))
        .and.include('a FIFO');
    });

    it('refuses a device', async function () {
      skipOnWindows(this, 'devices');
      expect(await refusal('/dev/null'))
        .to.include('/dev/null')
        .and.include('a device');
    });

    it('refuses a socket', async function () {
      skipOnWindows(this, 'sockets');
      const server = createServer();
      await new Promise<void>((done) => server.listen(at('sock'), done));
      try {
        expect(await refusal(at('sock')))
          .to.include(at('sock'))
          .and.include('a socket');
      } finally {
        server.close();
      }
    });

    it('says that the file may not be read', async function () {
      if (process.getuid === undefined) return skip(this, NEEDS.modes);
      await writeFile(at('secret'), 'x', { mode: 0o000 });
      await chmod(dir.path, 0o755);
      const message = await asNobody(() => refusal(at('secret')));
      expect(message).to.include(at('secret')).and.include('permission');
    });

    it('says that the directory of the file may not be searched', async function () {
      if (process.getuid === undefined) return skip(this, NEEDS.modes);
      await mkdir(at('closed'), { mode: 0o000 });
      await chmod(dir.path, 0o755);
      const message = await asNobody(() => refusal(at('closed/file')));
      expect(message).to.include(at('closed/file')).and.include('permission');
    });

    it('refuses an empty path and one with a NUL', async () => {
      expect(() => fileSource('')).to.throw(BitsArgumentError, 'empty');
      expect(await refusal(at('a\0b'))).to.include('not valid');
    });

    it('resolves a relative path when the source is made', async () => {
      await writeFile(at('data.bin'), 'abc');
      const before = process.cwd();
      const source = fileSource(relative(before, at('data.bin')));
      process.chdir(dir.path);
      try {
        const opened = await source.open();
        expect(opened.identity?.path).to.equal(at('data.bin'));
        await opened.close();
      } finally {
        process.chdir(before);
      }
    });

    it('identifies the file by its path, size, time in nanoseconds, and inode', async () => {
      await writeFile(at('data.bin'), 'abc');
      const source = fileSource(at('data.bin'));
      expect(source.name).to.equal(basename(at('data.bin')));
      const opened = await source.open();
      const stats = await stat(at('data.bin'), { bigint: true });
      expect(opened.identity).to.deep.equal({
        path: at('data.bin'),
        byteLength: 3,
        mtimeNs: String(stats.mtimeNs),
        inode: String(stats.ino),
      });
      await opened.close();
    });
  });

  it('reads ranges around an offset of 4 GiB', async () => {
    const edge = 4 * 1024 ** 3;
    const handle = await open(at('sparse'), 'w');
    await handle.write('before', edge - 6);
    await handle.write('after!', edge);
    await handle.truncate(edge + 5 * MiB);
    await handle.close();
    const opened = await fileSource(at('sparse')).open();
    const text = async (start: number, end: number) =>
      Buffer.from(await collect(opened.read(start, end))).toString();
    expect(opened.byteLength).to.equal(edge + 5 * MiB);
    expect(await text(edge - 6, edge + 6)).to.equal('beforeafter!');
    expect(await text(edge, edge + 6)).to.equal('after!');
    expect(await text(edge - 1, edge + 1)).to.equal('ea');
    await opened.close();
  });

  it('refuses a file that holds fewer bytes than its size says', async function () {
    const path = '/sys/devices/system/cpu/online';
    const stats = await stat(path).catch(() => undefined);
    if (!stats?.isFile() || stats.size < 100)
      return skip(this, 'needs a file system whose sizes are wrong');
    const opened = await fileSource(path).open();
    const error = await errorOf(collect(opened.read(0, opened.byteLength)));
    expect(error?.code).to.equal('BITS_ERR_SOURCE_CHANGED');
    expect(error?.message).to.match(/it ends at \d+\)/);
    await opened.close();
  });

  describe('a file that changes', () => {
    let opened: OpenSource;
    let path: string;
    const bytes = new Uint8Array(13 * MiB).fill(65);

    beforeEach(async () => {
      path = at('data.bin');
      await writeFile(path, bytes);
      // A change in the same tick of the file system's clock would not show.
      await utimes(path, LONG_AGO, LONG_AGO);
      opened = await fileSource(path).open();
    });
    afterEach(() => opened.close());

    /** The fragments that were read whole, with a change in the middle of the second, and the error. */
    async function changedInMidRead(change: () => Promise<void>) {
      const fragments: Uint8Array[] = [];
      const error = await errorOf(
        (async () => {
          for (let start = 0; start < opened.byteLength; start += 5 * MiB) {
            const pieces: Uint8Array[] = [];
            const end = Math.min(start + 5 * MiB, opened.byteLength);
            for await (const piece of opened.read(start, end)) {
              if (start === 5 * MiB && pieces.length === 0) await change();
              pieces.push(Uint8Array.from(piece));
            }
            fragments.push(...pieces);
          }
        })(),
      );
      return { bytes: Buffer.concat(fragments), error };
    }

    // The system notes the time of a change a moment before the new size.
    const changes: Record<string, { change: () => Promise<void>; says: RegExp }> = {
      'is appended to': {
        change: () => appendFile(path, 'more'),
        says: /size 13631488 to 13631492|modification time/,
      },
      'is cut': {
        change: () => truncate(path, 3 * MiB),
        says: /size 13631488 to 3145728|modification time/,
      },
      'is written over': {
        change: () => overwrite(path, new Uint8Array(13 * MiB).fill(66)),
        says: /modification time 2001-02-03T04:05:06\.000Z to /,
      },
      'is touched': {
        change: () => utimes(path, LONG_AGO, new Date(LONG_AGO.getTime() + 1)),
        says: /to 2001-02-03T04:05:06\.001Z/,
      },
    };

    for (const [title, { change, says }] of Object.entries(changes)) {
      it(`ends the read when it ${title} in mid-read, and completes no fragment with new bytes`, async () => {
        const { bytes: got, error } = await changedInMidRead(change);
        expect(error?.code).to.equal('BITS_ERR_SOURCE_CHANGED');
        expect(error?.retryable).to.equal(false);
        expect(error?.message).to.include(path).and.match(says).and.include('0x8020001D');
        expect(got.length).to.equal(5 * MiB);
        expect(got.every((byte) => byte === 65)).to.equal(true);
      });

      it(`fails the next read, and verify, when it ${title}`, async () => {
        await collect(opened.read(0, 10));
        await change();
        expect(await codeOf(collect(opened.read(10, 20)))).to.equal('BITS_ERR_SOURCE_CHANGED');
        expect(await codeOf(opened.verify())).to.equal('BITS_ERR_SOURCE_CHANGED');
      });
    }

    it('is still read when another file is renamed over it', async function () {
      skipOnWindows(this, 'unlink');
      await writeFile(at('new'), new Uint8Array(13 * MiB).fill(66));
      const { bytes: got, error } = await changedInMidRead(() => rename(at('new'), path));
      expect(error).to.equal(undefined);
      expect(got.equals(bytes)).to.equal(true);
      await opened.verify();
      const again = await fileSource(path).open();
      expect(again.identity?.inode).to.not.equal(opened.identity?.inode);
      await again.close();
    });
  });

  describe('handles', () => {
    beforeEach(async function () {
      if ((await openFilesUnder(dir.path)) === undefined) skip(this, NEEDS.proc);
      await writeFile(at('data.bin'), pattern(5 * MiB));
    });

    it('are one for all reads, closed in mid-read as well', async () => {
      const opened = await fileSource(at('data.bin')).open();
      const pieces = opened.read(0, opened.byteLength)[Symbol.asyncIterator]();
      await pieces.next();
      expect(await openFilesUnder(dir.path)).to.have.length(1);
      const pending = codeOf(drain(pieces));
      await opened.close();
      expect(await openFilesUnder(dir.path)).to.deep.equal([]);
      expect(await pending).to.equal('BITS_ERR_STATE');
    });

    it('are closed after an iteration that was left, and after one that failed', async () => {
      for (const spoil of [false, true]) {
        const opened = await fileSource(at('data.bin')).open();
        await collect(opened.read(0, opened.byteLength), 1);
        if (spoil) await appendFile(at('data.bin'), 'x');
        await errorOf(collect(opened.read(0, opened.byteLength), 2));
        await opened.close();
        expect(await openFilesUnder(dir.path)).to.deep.equal([]);
      }
    });

    it('are closed when the signal aborts while the file is being opened', async () => {
      const abort = new AbortController();
      const opening = codeOf(fileSource(at('data.bin')).open(abort.signal));
      abort.abort();
      expect(await opening).to.equal('BITS_ERR_ABORTED');
      expect(await openFilesUnder(dir.path)).to.deep.equal([]);
    });
  });
});

async function drain(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  while (!(await pieces.next()).done);
}

async function overwrite(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, 0);
  await handle.close();
}

/** Permissions do not bind root: lay the role down for a moment. */
async function asNobody<T>(action: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return await action();
  process.seteuid?.(65534);
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
  }
}
