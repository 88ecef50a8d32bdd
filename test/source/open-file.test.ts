import { createHook } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { DirectoryHabit } from '../../src/source/directory-habits.js';
import { isOnLocalFileSystem } from '../../src/source/local-file-system.js';
import { OpenFile } from '../../src/source/open-file.js';

const KIB = 1024;

describe('OpenFile', () => {
  let fd: number;
  let trips: string[];
  let waits: string[];

  beforeEach(() => {
    trips = [];
    waits = [];
  });

  /** The file, with a note of each trip to another thread and of each wait. */
  function opened(habit: DirectoryHabit): OpenFile {
    fd = fs.openSync(import.meta.filename, 'r');
    const noting = <F extends (...args: never[]) => unknown>(log: string[], call: F): F =>
      ((...args) => {
        log.push(call.name);
        return call(...args);
      }) as F;
    return new OpenFile(fd, habit, {
      fstat: noting(trips, fs.fstat),
      read: noting(trips, fs.read),
      close: noting(trips, fs.close),
      fstatSync: noting(waits, fs.fstatSync),
      readSync: noting(waits, fs.readSync),
      closeSync: noting(waits, fs.closeSync),
    } as ConstructorParameters<typeof OpenFile>[2] & object);
  }

  function fast(): DirectoryHabit {
    const habit = new DirectoryHabit(() => 0);
    habit.noteTrip(0);
    return habit;
  }

  function slow(): DirectoryHabit {
    const habit = new DirectoryHabit(() => 0);
    habit.noteWait(1000);
    return habit;
  }

  async function useAll(file: OpenFile): Promise<void> {
    const content = fs.readFileSync(import.meta.filename);
    const buffer = Buffer.alloc(64 * KIB);
    expect(Number((await file.stat()).size)).to.equal(content.length);
    const bytesRead = await file.read(buffer, 10, buffer.length - 10, 3);
    expect(buffer.subarray(10, 10 + bytesRead).equals(content.subarray(3))).to.equal(true);
    await file.close();
    expect(() => fs.fstatSync(fd)).to.throw('EBADF');
  }

  it('makes no trip to another thread for small things where files answer at once', async () => {
    await useAll(opened(fast()));
    expect(trips).to.deep.equal([]);
  });

  it('lets nobody wait, not for the first thing either, where they do not', async () => {
    await useAll(opened(slow()));
    expect(trips).to.deep.equal(['fstat', 'read', 'close']);
    expect(waits).to.deep.equal([]);
  });

  it('lets nobody wait for a long read, however fast the file system', async () => {
    const file = opened(fast());
    await file.read(Buffer.alloc(64 * KIB + 1), 0, 64 * KIB + 1, 0);
    await file.read(Buffer.alloc(64 * KIB), 0, 64 * KIB, 0);
    await file.close();
    expect(trips).to.deep.equal(['read']);
  });

  it('tells the directory how long each answer took', async () => {
    const habit = fast();
    const told: number[] = [];
    habit.noteWait = (ms) => void told.push(ms);
    const file = opened(habit);
    await file.stat();
    await file.read(Buffer.alloc(1), 0, 1, 0);
    expect(told).to.have.lengthOf(2);
    expect(told.every((ms) => ms >= 0)).to.equal(true);
    await file.close();
  });

  it('lets nobody wait for what another program has to do first', async function () {
    if (process.platform === 'win32') return this.skip();
    const directory = fs.mkdtempSync(join(tmpdir(), 'bits-upload-test-'));
    try {
      const [file, fifo] = [join(directory, 'file'), join(directory, 'fifo')];
      fs.writeFileSync(file, '');
      execFileSync('mkfifo', [fifo]);
      // Twice: the first one makes the directory a fast one.
      for (let i = 0; i < 2; i++) await (await OpenFile.open(file, 'r')).close();
      const opening = OpenFile.open(fifo, 'r', { mayTakeLong: true });
      const writer = fs.openSync(fifo, 'w');
      await (await opening).close();
      fs.closeSync(writer);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });

  describe('opened by its path', () => {
    let directory: string;
    beforeEach(() => {
      directory = fs.mkdtempSync(join(tmpdir(), 'bits-upload-test-'));
      fs.writeFileSync(join(directory, 'file'), 'content');
    });
    afterEach(() => fs.rmSync(directory, { recursive: true }));

    /** How many trips to other threads it takes to open, read and close. */
    async function tripsFor(path: string): Promise<number> {
      let trips = 0;
      const hook = createHook({
        init: (_id, type) => {
          if (type.startsWith('FSREQ')) trips++;
        },
      }).enable();
      const atOnce = OpenFile.openAtOnce(path, fs.constants.O_RDONLY, () => true);
      const file = atOnce?.file ?? (await OpenFile.open(path, fs.constants.O_RDONLY));
      await file.stat();
      await file.read(Buffer.alloc(1), 0, 1, 0);
      await file.close();
      hook.disable();
      return trips;
    }

    it('makes no trip once the directory is known, on a local file system', async function () {
      if (!(await isOnLocalFileSystem(directory))) return this.skip();
      expect(await tripsFor(join(directory, 'file'))).to.be.above(0);
      expect(await tripsFor(join(directory, 'file'))).to.equal(0);
    });

    it('makes them for a link, which may lead anywhere', async function () {
      if (process.platform !== 'linux') return this.skip();
      fs.symlinkSync('/proc/version', join(directory, 'link'));
      await tripsFor(join(directory, 'file'));
      for (let i = 0; i < 2; i++) expect(await tripsFor(join(directory, 'link'))).to.be.above(3);
    });

    it('makes them always on another file system than a local one', async function () {
      if (process.platform !== 'linux') return this.skip();
      for (let i = 0; i < 3; i++) expect(await tripsFor('/proc/version')).to.be.above(3);
    });
  });

  it('fails as the system does, with a trip and without', async () => {
    for (const habit of [fast(), slow()]) {
      const file = opened(habit);
      fs.closeSync(fd);
      await expectCode(async () => file.stat(), 'EBADF');
      await expectCode(async () => file.read(Buffer.alloc(1), 0, 1, 0), 'EBADF');
      await expectCode(async () => file.close(), 'EBADF');
    }
    await expectCode(() => OpenFile.open('/no/such/file', 'r'), 'ENOENT');
  });
});

async function expectCode(call: () => Promise<unknown>, code: string): Promise<void> {
  const error = await call().then(
    () => undefined,
    (reason: NodeJS.ErrnoException) => reason,
  );
  expect(error?.code).to.equal(code);
}
