import { expect } from 'chai';
import {
  type AutoConcurrency,
  fileEnded,
  MAX_LIMIT,
  newAutoConcurrency,
  troubled,
} from '../../src/queue/auto-concurrency.js';

/** A world in which the files of a second depend on how many are sent at once. */
class World {
  auto: AutoConcurrency = newAutoConcurrency(0);
  nowMs = 0;

  /** @returns the limits that were in force, each once */
  run(seconds: number, filesPerSecond: (limit: number) => number, isFull = true): number[] {
    const limits = [this.auto.limit];
    for (const endMs = this.nowMs + seconds * 1000; this.nowMs < endMs; ) {
      this.nowMs += 1000 / filesPerSecond(this.auto.limit);
      this.auto = fileEnded(this.auto, this.nowMs, { isFull });
      if (this.auto.limit !== limits.at(-1)) limits.push(this.auto.limit);
    }
    return limits;
  }

  trouble(): number {
    this.auto = troubled(this.auto, this.nowMs);
    return this.auto.limit;
  }
}

describe('the number of uploads at once that a queue chooses', () => {
  const cases: readonly [string, (limit: number) => number, number, readonly number[]][] = [
    ['grows to the most where each brings as much as the first', (n) => n * 10, 10, [4, 8, 16, 32]],
    ['is 4 again where more bring nothing', () => 100, 9, [4, 8, 4]],
    ['is 8 where more than 8 bring nothing', (n) => Math.min(n, 8) * 20, 9, [4, 8, 16, 8]],
    ['falls back where more are slower', (n) => 1000 / n, 9, [4, 8, 4]],
    ['tries more again after 10 s', () => 100, 13, [4, 8, 4, 8, 4]],
  ];
  for (const [title, speed, seconds, limits] of cases) {
    it(title, () => {
      expect(new World().run(seconds, speed)).to.deep.equal(limits);
    });
  }

  it('stays where there are not enough files to fill it', () => {
    expect(new World().run(10, (n) => n * 10, false)).to.deep.equal([4]);
  });

  it('stays until a few files have ended, however slow they are', () => {
    const world = new World();
    expect(world.run(500, () => 7.5 / 600)).to.deep.equal([4]);
  });

  it('is halved by trouble, but once for what fails together', () => {
    const world = new World();
    world.run(10, (n) => n * 10);
    expect(world.trouble()).to.equal(16);
    world.nowMs += 999;
    expect(world.trouble()).to.equal(16);
    world.nowMs += 2;
    expect(world.trouble()).to.equal(8);
    for (const limit of [4, 2, 1, 1]) {
      world.nowMs += 1000;
      expect(world.trouble()).to.equal(limit);
    }
  });

  it('grows one by one after trouble, and not before 10 s', () => {
    const world = new World();
    world.trouble();
    expect(world.run(9.9, (n) => n * 10)).to.deep.equal([2]);
    expect(world.run(2, (n) => n * 10)).to.deep.equal([2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('never leaves its bounds', () => {
    const world = new World();
    world.run(300, (n) => n * 100);
    expect(world.auto.limit).to.equal(MAX_LIMIT);
  });
});
