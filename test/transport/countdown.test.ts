import { expect } from 'chai';
import { Countdown } from '../../src/transport/countdown.js';
import { FakeClock } from './fake-clock.js';

describe('a countdown', () => {
  function make(limitMs: number) {
    const clock = new FakeClock();
    const looks: number[] = [];
    let expired = 0;
    const countdown = new Countdown(
      () => expired++,
      (elapsedMs) => looks.push(elapsedMs),
      clock,
    );
    countdown.start(limitMs);
    return { clock, countdown, looks, isExpired: () => expired > 0 };
  }

  it('expires at its limit, and not before', () => {
    const { clock, isExpired } = make(2500);
    clock.run(2499);
    expect(isExpired()).to.equal(false);
    clock.run(1);
    expect(isExpired()).to.equal(true);
    expect(clock.isTimerSet).to.equal(false);
  });

  it('begins again with each start, also with another limit', () => {
    const { clock, countdown, isExpired } = make(2500);
    clock.run(2400);
    countdown.start(2500);
    clock.run(2400);
    expect(isExpired()).to.equal(false);
    countdown.start(30);
    clock.run(30);
    expect(isExpired()).to.equal(true);
  });

  it('does not count the time in which the process did not run', () => {
    const { clock, isExpired } = make(5000);
    clock.run(3000);
    clock.sleep(8 * 60 * 60 * 1000);
    expect(isExpired()).to.equal(false);
    // The second in which it stopped counts as a whole.
    clock.run(999);
    expect(isExpired()).to.equal(false);
    clock.run(1);
    expect(isExpired()).to.equal(true);
  });

  it('counts what came after the process ran again, when progress came first', () => {
    const { clock, countdown, isExpired } = make(5000);
    clock.run(500);
    // Woken by bytes and not by the timer, which is looked at afterwards.
    countdown.pause();
    clock.sleep(60_000);
    countdown.start(5000);
    clock.run(4999);
    expect(isExpired()).to.equal(false);
    clock.run(1);
    expect(isExpired()).to.equal(true);
  });

  it('counts the delays of a busy machine', () => {
    const { clock, isExpired } = make(5000);
    for (let i = 0; i < 2; i++) clock.sleep(2500);
    expect(isExpired()).to.equal(true);
  });

  it('tells every second how long it has been', () => {
    const { clock, looks } = make(60_000);
    clock.run(3500);
    expect(looks).to.deep.equal([1000, 2000, 3000]);
  });

  it('does not expire while it is paused, or after its end', () => {
    const { clock, countdown, isExpired } = make(2000);
    countdown.pause();
    clock.run(10_000);
    countdown.start(2000);
    clock.run(1000);
    countdown.end();
    expect(clock.isTimerSet).to.equal(false);
    clock.run(10_000);
    expect(isExpired()).to.equal(false);
  });

  it('takes a limit that no timer can hold', () => {
    const { clock, isExpired } = make(Number.POSITIVE_INFINITY);
    clock.run(100_000);
    expect(isExpired()).to.equal(false);
  });
});
