import { posix, win32 } from 'node:path';
import { expect } from 'chai';
import { isWithin } from '../../src/bullmq/worker-directories.js';

describe('the directories of a worker', () => {
  for (const [path, expected] of [
    ['C:\\photos', true],
    ['C:\\photos\\a.jpg', true],
    ['c:\\PHOTOS\\2026\\a.jpg', true],
    ['C:\\photos\\..a.jpg', true],
    ['C:\\photos\\2026\\..\\a.jpg', true],
    ['C:\\photos\\..\\secret', false],
    ['C:\\photos2\\a.jpg', false],
    ['C:\\', false],
    ['D:\\photos\\a.jpg', false],
    ['\\\\evil\\share\\a.jpg', false],
    ['//evil/share/a.jpg', false],
    ['\\\\evil\\photos\\..\\..\\C:\\photos\\a.jpg', false],
    ['\\\\?\\UNC\\evil\\share\\a.jpg', false],
    ['\\\\.\\pipe\\a', false],
    ['\\\\?\\C:\\photos\\a.jpg', false],
  ] as const) {
    it(`${expected ? 'hold' : 'do not hold'} ${path} on Windows, by its text alone`, () => {
      expect(isWithin('C:\\photos', path, win32)).to.equal(expected);
    });
  }

  it('may be on another machine, and hold what is on the same share alone', () => {
    const share = '\\\\nas\\photos';
    expect(isWithin(share, '\\\\NAS\\photos\\a.jpg', win32)).to.equal(true);
    for (const path of ['\\\\evil\\photos\\a.jpg', '\\\\nas\\other\\a.jpg', 'C:\\photos\\a.jpg']) {
      expect(isWithin(share, path, win32), path).to.equal(false);
    }
  });

  it('hold what is below them on other systems, by its text alone', () => {
    for (const path of ['/mnt/photos', '/mnt/photos/a', '/mnt/photos/..a', '/mnt/photos/x/../a']) {
      expect(isWithin('/mnt/photos', path, posix), path).to.equal(true);
    }
    for (const path of ['/mnt', '/mnt/photos2', '/mnt/photos/../secret', '/etc/passwd']) {
      expect(isWithin('/mnt/photos', path, posix), path).to.equal(false);
    }
  });
});
