import { expect } from 'chai';
import { parseSize } from '../../../src/cli/parse/size.js';
import { UsageError } from '../../../src/cli/usage-error.js';

const range = { least: 5120, most: 2 ** 31 };
const parse = (text: string): number => parseSize('--size', text, range);

describe('a size of the command line', () => {
  const sizes: [string, number][] = [
    ['5242880', 5_242_880],
    ['5120B', 5120],
    ['128KiB', 131_072],
    ['4MiB', 4_194_304],
    ['1.5MB', 1_500_000],
    ['4.35MB', 4_350_000],
    ['2GiB', 2_147_483_648],
    ['1gb', 1_000_000_000],
    [' 64 kib ', 65_536],
  ];
  for (const [text, bytes] of sizes) {
    it(`reads ${JSON.stringify(text)} as ${bytes} bytes`, () => {
      expect(parse(text)).to.equal(bytes);
    });
  }

  const wrong = [
    '',
    '4M',
    '4 m',
    '-4MiB',
    '4MiB4',
    '1e6',
    '0x2000',
    'NaN',
    '1.MiB',
    '5,5MB',
    'MiB',
  ];
  for (const text of wrong) {
    it(`refuses ${JSON.stringify(text)} and shows how to write one`, () => {
      expect(() => parse(text)).to.throw(UsageError, /^--size takes a size such as 128KiB/);
    });
  }

  for (const text of ['5119', '0', '3GiB', '2147483649', `9${'0'.repeat(400)}`]) {
    it(`refuses ${text.slice(0, 12)}, out of the range, and names the range`, () => {
      expect(() => parse(text)).to.throw(UsageError, /between 5120 and 2147483648 bytes/);
    });
  }
});
