import { expect } from 'chai';
import { parseDuration } from '../../../src/cli/parse/duration.js';
import { UsageError } from '../../../src/cli/usage-error.js';

describe('a duration of the command line', () => {
  const durations: [string, number][] = [
    ['500ms', 500],
    ['3s', 3000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2H', 7_200_000],
    ['596h', 596 * 3_600_000],
    ['2d', 172_800_000],
  ];
  for (const [text, durationMs] of durations) {
    it(`reads ${text} as ${durationMs} ms`, () => {
      expect(parseDuration('--timeout', text)).to.equal(durationMs);
    });
  }

  for (const text of ['', '3', '-3s', '3 days', '1w', 's', 'Infinity', '1e3s', '3s5']) {
    it(`refuses ${JSON.stringify(text)} and shows how to write one`, () => {
      expect(() => parseDuration('--timeout', text)).to.throw(
        UsageError,
        /^--timeout takes a duration such as 500ms/,
      );
    });
  }

  // A timer of Node that is longer fires at once.
  for (const text of ['0s', '0.2ms', '597h', `9${'0'.repeat(400)}h`]) {
    it(`refuses ${text.slice(0, 8)}, which no timer can wait`, () => {
      expect(() => parseDuration('--timeout', text)).to.throw(UsageError, /between 1ms and 596h/);
    });
  }

  it('may be longer where no timer waits for it', () => {
    expect(parseDuration('--older-than', '30d', 31 * 86_400_000)).to.equal(30 * 86_400_000);
  });
});
