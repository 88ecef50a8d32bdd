import { expect } from 'chai';
import { FastDirectories } from '../../src/source/fast-directories.js';

describe('FastDirectories', () => {
  let nowMs: number;
  let directories: FastDirectories;
  beforeEach(() => {
    nowMs = 0;
    directories = new FastDirectories(() => nowMs);
  });

  it('trusts no directory before a file in it opened fast, and no other then', () => {
    expect(directories.has('/a')).to.equal(false);
    directories.note('/a', { ms: 2, trip: true });
    expect(directories.has('/a')).to.equal(true);
    expect(directories.has('/a/b')).to.equal(false);
  });

  it('trusts it for a second after the last one', () => {
    directories.note('/a', { ms: 2, trip: true });
    nowMs = 900;
    directories.note('/a', { ms: 0.01, trip: false });
    nowMs = 1800;
    expect(directories.has('/a')).to.equal(true);
    nowMs = 1900;
    expect(directories.has('/a')).to.equal(false);
  });

  it('does not trust it after a slow trip', () => {
    directories.note('/a', { ms: 10, trip: true });
    expect(directories.has('/a')).to.equal(false);
  });

  it('does not trust it for ten seconds after making the process wait, whatever trips take', () => {
    directories.note('/a', { ms: 2, trip: true });
    directories.note('/a', { ms: 1, trip: false });
    for (nowMs of [0, 5000, 9999]) {
      directories.note('/a', { ms: 0.1, trip: true });
      expect(directories.has('/a'), `after ${nowMs} ms`).to.equal(false);
    }
    nowMs = 10_000;
    directories.note('/a', { ms: 0.1, trip: true });
    expect(directories.has('/a')).to.equal(true);
  });

  it('remembers the last hundred', () => {
    for (let i = 0; i <= 100; i++) directories.note(`/${i}`, { ms: 1, trip: true });
    expect(directories.has('/0')).to.equal(false);
    expect(directories.has('/1')).to.equal(true);
    expect(directories.has('/100')).to.equal(true);
  });
});
