import { expect } from 'chai';
import {
  parseDuration,
  parseHeaders,
  parseSize,
  parseWholeNumber,
  UsageError,
} from '../../src/cli/values.js';

describe('a duration on the command line', () => {
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
    it(`is read as ${durationMs} ms for ${text}`, () => {
      expect(parseDuration('--timeout', text)).to.equal(durationMs);
    });
  }

  for (const text of ['', '3', '-3s', '3 days', '1w', 's', 'Infinity', '1e3s', '3s5']) {
    it(`is refused for ${JSON.stringify(text)}, with examples`, () => {
      expect(() => parseDuration('--timeout', text)).to.throw(
        UsageError,
        /^--timeout takes a duration such as 500ms/,
      );
    });
  }

  // A longer timer of Node fires immediately.
  for (const text of ['0s', '0.2ms', '597h', `9${'0'.repeat(400)}h`]) {
    it(`is refused for ${text.slice(0, 8)}, which no timer can wait`, () => {
      expect(() => parseDuration('--timeout', text)).to.throw(UsageError, /between 1ms and 596h/);
    });
  }

  it('may be longer if no timer waits for it', () => {
    expect(parseDuration('--older-than', '30d', 31 * 86_400_000)).to.equal(30 * 86_400_000);
  });
});

describe('a size on the command line', () => {
  const range = { least: 5120, most: 2 ** 31 };
  const parse = (text: string): number => parseSize('--size', text, range);

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
    it(`is read as ${bytes} bytes for ${JSON.stringify(text)}`, () => {
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
    it(`is refused for ${JSON.stringify(text)}, with examples`, () => {
      expect(() => parse(text)).to.throw(UsageError, /^--size takes a size such as 128KiB/);
    });
  }

  for (const text of ['5119', '0', '3GiB', '2147483649', `9${'0'.repeat(400)}`]) {
    it(`is refused out of its range for ${text.slice(0, 12)}, with the range`, () => {
      expect(() => parse(text)).to.throw(UsageError, /between 5120 and 2147483648 bytes/);
    });
  }
});

describe('a whole number on the command line', () => {
  it('is read from digits, up to its maximum', () => {
    expect(parseWholeNumber('--retries', '0')).to.equal(0);
    expect(parseWholeNumber('--port', '65535', 65_535)).to.equal(65_535);
  });

  for (const text of ['', '-1', '+1', '1.5', '1e3', '0x10', ' 1', 'ten', '65536']) {
    it(`is refused for ${JSON.stringify(text)}, with the range`, () => {
      expect(() => parseWholeNumber('--port', text, 65_535)).to.throw(
        UsageError,
        /^--port takes a whole number from 0 to 65535/,
      );
    });
  }
});

describe('a header on the command line', () => {
  it('is split at its first colon, and its value is trimmed', () => {
    expect(parseHeaders(['X-A: b: c ', 'Empty:', 'Accept-Language:\tde'])).to.deep.equal({
      'X-A': 'b: c',
      Empty: '',
      'Accept-Language': 'de',
    });
  });

  it('may have the name of a property of every object', () => {
    expect(Object.entries(parseHeaders(['__proto__: x']))).to.deep.equal([['__proto__', 'x']]);
  });

  it('is refused when its name is given twice, in any case', () => {
    expect(() => parseHeaders(['X-A: 1', 'x-a: 2'])).to.throw(UsageError, /x-a is given twice/);
  });

  const secret = 'hunter2';
  const wrong: [string, string][] = [
    ['no colon', `Authorization Bearer ${secret}`],
    ['a space in the name', `Authorization ${secret}: x`],
    ['no name', `: ${secret}`],
    ['a line break in the value', `Authorization: ${secret}\r\nX: y`],
    ['a line break in the name', `A\n${secret}: y`],
    ['a character beyond Latin-1', `Authorization: ${secret}✓`],
  ];
  for (const [what, header] of wrong) {
    it(`is refused for ${what}, without repeating what may be a secret`, () => {
      expect(() => parseHeaders(['X-A: 1', header]))
        .to.throw(UsageError, /--header number 2/)
        .with.property('message')
        .that.does.not.contain(secret);
    });
  }
});
