import { expect } from 'chai';
import fc from 'fast-check';
import { parseRetryAfterMs } from '../../src/protocol/retry-after.js';

const NOW_MS = Date.UTC(1994, 10, 6, 8, 49, 0);
const DAY_MS = 86_400_000;

describe('Retry-After', () => {
  for (const [value, expected] of [
    ['0', 0],
    ['120', 120_000],
    [' 1 ', 1000],
    ['86401', DAY_MS],
    ['9999999999', DAY_MS],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 37_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 37_000],
    ['Sun Nov  6 08:49:37 1994', 37_000],
    ['Sun, 06 Nov 1994 08:48:00 GMT', 0],
    ['Sun, 06 Nov 2094 08:48:00 GMT', DAY_MS],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['1e9', undefined],
    ['99999999999', undefined],
    ['soon', undefined],
    ['1, 2', undefined],
    ['1994', 1_994_000],
    ['1994-11-06T08:49:37Z', undefined],
    ['Sun, 99 Nov 1994 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 08:49:37 +0100', undefined],
  ] as const) {
    it(`is read from ${JSON.stringify(value)}, or ignored`, () => {
      expect(parseRetryAfterMs(value, NOW_MS)).to.equal(expected);
    });
  }

  it('means GMT when its date names no zone, in whatever zone the client runs', () => {
    const zone = process.env.TZ;
    process.env.TZ = 'Asia/Tokyo';
    try {
      expect(parseRetryAfterMs('Sun Nov  6 08:49:37 1994', NOW_MS)).to.equal(37_000);
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  it('never asks for a wait below zero or longer than a day', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer().map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    );
    fc.assert(
      fc.property(text, (value) => {
        const waitMs = parseRetryAfterMs(value, NOW_MS);
        if (waitMs !== undefined) expect(waitMs).to.be.within(0, DAY_MS);
      }),
    );
  });
});
