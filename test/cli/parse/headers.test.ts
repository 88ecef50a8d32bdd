import { expect } from 'chai';
import { parseHeaders } from '../../../src/cli/parse/headers.js';
import { UsageError } from '../../../src/cli/usage-error.js';

describe('headers of the command line', () => {
  it('splits each at its first colon and trims the value', () => {
    expect(parseHeaders(['X-A: b: c ', 'Empty:', 'Accept-Language:\tde'])).to.deep.equal({
      'X-A': 'b: c',
      Empty: '',
      'Accept-Language': 'de',
    });
  });

  it('trims a value with a long run of blanks in linear time', () => {
    const startedMs = performance.now();
    const value = `a${' \t'.repeat(100_000)}b`;
    expect(parseHeaders([`X: ${value} `])).to.deep.equal({ X: value });
    expect(performance.now() - startedMs).to.be.below(1000);
  });

  it('takes a name that objects already know', () => {
    expect(Object.entries(parseHeaders(['__proto__: x']))).to.deep.equal([['__proto__', 'x']]);
  });

  it('refuses a name given twice, in whichever case', () => {
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
    it(`refuses ${what} without repeating what may be a secret`, () => {
      expect(() => parseHeaders(['X-A: 1', header]))
        .to.throw(UsageError, /--header number 2/)
        .with.property('message')
        .that.does.not.contain(secret);
    });
  }
});
