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
    directories.noteTrip('/a', 2);
    expect(directories.has('/a')).to.equal(true);
    expect(directories.has('/a/b')).to.equal(false);
  });

  it('does not trust it after a slow trip', () => {
    directories.noteTrip('/a', 10);
    expect(directories.has('/a')).to.equal(false);
  });

  it('trusts it for a second after the last one', () => {
    directories.noteTrip('/a', 2);
    nowMs = 900;
    directories.noteWait('/a', 0.01);
    nowMs = 1800;
    expect(directories.has('/a')).to.equal(true);
    nowMs = 1900;
    expect(directories.has('/a')).to.equal(false);
  });

  it('does not trust it for ten seconds after a long wait, whatever trips take', () => {
    directories.noteTrip('/a', 2);
    directories.noteWait('/a', 20);
    for (nowMs of [0, 5000, 9999]) {
      directories.noteTrip('/a', 0.1);
      expect(directories.has('/a'), `after ${nowMs} ms`).to.equal(false);
    }
    nowMs = 10_000;
    directories.noteTrip('/a', 0.1);
    expect(directories.has('/a')).to.equal(true);
  });

  it('forgives a pause of the process, and not waits of a millisecond for every file', () => {
    directories.noteTrip('/a', 2);
    directories.noteWait('/a', 5);
    expect(directories.has('/a'), 'after a pause').to.equal(true);
    for (let i = 0; i < 50; i++) directories.noteWait('/a', 0.01);
    let waits = 0;
    for (; directories.has('/a') && waits < 100; waits++) directories.noteWait('/a', 1);
    expect(waits).to.be.within(8, 16);
  });

  it('remembers the last hundred', () => {
    for (let i = 0; i <= 100; i++) directories.noteTrip(`/${i}`, 1);
    expect(directories.has('/0')).to.equal(false);
    expect(directories.has('/1')).to.equal(true);
    expect(directories.has('/100')).to.equal(true);
  });
});
