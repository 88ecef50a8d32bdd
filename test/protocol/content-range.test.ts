import { expect } from 'chai';
import fc from 'fast-check';
import {
  formatContentRange,
  parseContentRange,
  parseOffset,
} from '../../src/protocol/content-range.js';

const MAX = Number.MAX_SAFE_INTEGER;

const ranges = fc
  .tuple(fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat())
  .map((offsets) => offsets.sort((a, b) => a - b))
  .map(([start = 0, end = 0, total = 0]) => ({ start, end, total }))
  .filter(({ start, end }) => start < end);

describe('a Content-Range', () => {
  it('names the last byte inclusively, as Windows sent it to IIS 6', () => {
    expect(formatContentRange({ start: 0, end: 10, total: 100 })).to.equal('bytes 0-9/100');
    expect(formatContentRange({ start: 99, end: 100, total: 100 })).to.equal('bytes 99-99/100');
  });

  for (const range of [
    { start: 0, end: 0, total: 0 },
    { start: 5, end: 5, total: 10 },
    { start: 6, end: 5, total: 10 },
    { start: 0, end: 11, total: 10 },
    { start: -1, end: 5, total: 10 },
    { start: 0.5, end: 5, total: 10 },
    { start: 0, end: 5, total: MAX + 1 },
    { start: Number.NaN, end: 5, total: 10 },
  ]) {
    it(`cannot express ${JSON.stringify(range)}`, () => {
      expect(() => formatContentRange(range)).to.throw(RangeError);
    });
  }

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(ranges, (range) => {
        expect(parseContentRange(formatContentRange(range))).to.deep.equal(range);
      }),
    );
  });

  for (const [value, expected] of [
    ['bytes 0-9/10', { start: 0, end: 10, total: 10 }],
    ['Bytes 128-212/1000', { start: 128, end: 213, total: 1000 }],
    ['  BYTES\t0 - 9 / 10 ', { start: 0, end: 10, total: 10 }],
    ['bytes 0-9/*', { start: 0, end: 10, total: undefined }],
    [`bytes 0-${MAX - 1}/${MAX}`, { start: 0, end: MAX, total: MAX }],
    [`bytes 0-${MAX}/*`, undefined],
    [`bytes 0-9/${MAX + 1}`, undefined],
    ['bytes 9-0/10', undefined],
    ['bytes 5-4/10', undefined],
    ['bytes 0-10/10', undefined],
    ['bytes */10', undefined],
    ['bytes 0-9', undefined],
    ['bytes -9/10', undefined],
    ['bytes 0x0-9/10', undefined],
    ['bytes 0-9/10, bytes 0-9/10', undefined],
    ['octets 0-9/10', undefined],
    ['', undefined],
  ] as const) {
    it(`is read from ${JSON.stringify(value)}`, () => {
      expect(parseContentRange(value)).to.deep.equal(expected);
    });
  }

  for (const [value, expected] of [
    ['0', 0],
    [' 65536 ', 65_536],
    [String(MAX), MAX],
    [String(MAX + 1), undefined],
    ['9'.repeat(400), undefined],
    ['-1', undefined],
    ['+1', undefined],
    ['1.0', undefined],
    ['1e3', undefined],
    ['0x10', undefined],
    ['5, 5', undefined],
    ['bytes 0-9/10', undefined],
    ['Infinity', undefined],
    ['', undefined],
  ] as const) {
    it(`of the server, ${JSON.stringify(value.slice(0, 20))}, is read as an offset or refused`, () => {
      expect(parseOffset(value)).to.equal(expected);
    });
  }

  it('is read from any text without an exception', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        parseContentRange(value);
        parseContentRange(`bytes ${value}`);
        parseOffset(value);
      }),
    );
  });
});
