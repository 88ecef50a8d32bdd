import { expect } from 'chai';
import { type DirectoryHabit, DirectoryHabits } from '../../src/source/directory-habits.js';

describe('the habits of directories', () => {
  let nowMs: number;
  let habits: DirectoryHabits;
  let habit: DirectoryHabit;
  beforeEach(() => {
    nowMs = 0;
    habits = new DirectoryHabits(() => nowMs);
    habit = habits.of('/a');
  });

  it('trust none before a file in it opened fast, and no other then', () => {
    expect(habit.isFast).to.equal(false);
    habit.noteTrip(2);
    expect(habits.of('/a').isFast).to.equal(true);
    expect(habits.of('/a/b').isFast).to.equal(false);
  });

  it('trust none after a slow trip', () => {
    habit.noteTrip(10);
    expect(habit.isFast).to.equal(false);
  });

  it('trust one for a second after its last answer', () => {
    habit.noteTrip(2);
    nowMs = 900;
    habit.noteWait(0.01);
    nowMs = 1800;
    expect(habit.isFast).to.equal(true);
    nowMs = 1900;
    expect(habit.isFast).to.equal(false);
  });

  it('do not trust one for ten seconds after a long wait, whatever trips take', () => {
    habit.noteTrip(2);
    habit.noteWait(100);
    for (nowMs of [0, 5000, 9999]) {
      habit.noteTrip(0.1);
      expect(habit.isFast, `after ${nowMs} ms`).to.equal(false);
    }
    nowMs = 10_000;
    habit.noteTrip(0.1);
    expect(habit.isFast).to.equal(true);
  });

  it('forgive a pause of the process now and then', () => {
    habit.noteTrip(2);
    for (let i = 0; i < 100; i++) {
      habit.noteWait(i % 10 === 0 ? 50 : 0.01);
      expect(habit.isFast, `after ${i + 1} waits`).to.equal(true);
    }
  });

  it('do not forgive waits of half a millisecond for every second file', () => {
    habit.noteTrip(2);
    let waits = 0;
    for (; habit.isFast && waits < 100; waits++) habit.noteWait(waits % 2 === 0 ? 0.5 : 0.01);
    expect(waits).to.be.within(5, 8);
  });

  it('are remembered of the last hundred', () => {
    habit.noteTrip(1);
    for (let i = 1; i < 100; i++) habits.of(`/${i}`);
    expect(habits.of('/a').isFast).to.equal(true);
    for (let i = 0; i < 100; i++) habits.of(`/more/${i}`);
    expect(habits.of('/a').isFast).to.equal(false);
  });
});
