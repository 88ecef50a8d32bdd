import * as fs from 'node:fs';
import { expect } from 'chai';
import { OpenFile } from '../../src/source/open-file.js';

const KIB = 1024;

describe('OpenFile', () => {
  let fd: number;
  let trips: string[];

  beforeEach(() => {
    trips = [];
  });

  /** The file, with a note of each trip to another thread. */
  function opened(now: () => number): OpenFile {
    fd = fs.openSync(import.meta.filename, 'r');
    const noting = <F extends (...args: never[]) => unknown>(call: F): F =>
      ((...args) => {
        trips.push(call.name);
        return call(...args);
      }) as F;
    const { fstat, read, close } = fs;
    const calls = { ...fs, fstat: noting(fstat), read: noting(read), close: noting(close) };
    return new OpenFile(fd, { now, calls });
  }

  /** A clock by which every call takes so long. */
  function eachTaking(ms: number): () => number {
    let nowMs = 0;
    return () => (nowMs += ms);
  }

  async function useAll(file: OpenFile): Promise<void> {
    const content = fs.readFileSync(import.meta.filename);
    const buffer = Buffer.alloc(64 * KIB);
    for (let round = 0; round < 2; round++) {
      expect(Number((await file.stat()).size)).to.equal(content.length);
      const bytesRead = await file.read(buffer, 10, buffer.length - 10, 3);
      expect(buffer.subarray(10, 10 + bytesRead).equals(content.subarray(3))).to.equal(true);
    }
    await file.close();
    expect(() => fs.fstatSync(fd)).to.throw('EBADF');
  }

  it('makes no trip to another thread for small things while the answers are at hand', async () => {
    await useAll(opened(() => 0));
    expect(trips).to.deep.equal([]);
  });

  it('makes it for all that follows an answer that was slow to come', async () => {
    await useAll(opened(eachTaking(11)));
    expect(trips).to.deep.equal(['read', 'fstat', 'read', 'close']);
  });

  it('lets nobody wait for a long read, however fast the file system', async () => {
    const file = opened(() => 0);
    await file.read(Buffer.alloc(64 * KIB + 1), 0, 64 * KIB + 1, 0);
    await file.read(Buffer.alloc(64 * KIB), 0, 64 * KIB, 0);
    await file.close();
    expect(trips).to.deep.equal(['read']);
  });

  it('fails as the system does, with a trip and without', async () => {
    for (const tookMs of [0, 11]) {
      const file = opened(eachTaking(tookMs));
      await file.stat();
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
