import { expect } from 'chai';
import { type SourceIdentity, sourceIdentityChange } from '../../src/source/source.js';

describe('sourceIdentityChange', () => {
  const before: SourceIdentity = {
    path: '/data/file.bin',
    byteLength: 10,
    mtimeNs: '1700000000123456789',
    inode: '42',
  };

  for (const [what, difference, change] of [
    ['nothing', {}, 'same'],
    ['the path', { path: '/mnt/file.bin' }, 'same'],
    ['the inode', { inode: '43' }, 'inode-only'],
    ['the size', { byteLength: 11 }, 'changed'],
    ['one nanosecond', { mtimeNs: '1700000000123456790' }, 'changed'],
    ['the size and the inode', { byteLength: 11, inode: '43' }, 'changed'],
  ] as const)
    it(`is ${change} when ${what} differs`, () => {
      expect(sourceIdentityChange(before, { ...before, ...difference })).to.equal(change);
    });
});
