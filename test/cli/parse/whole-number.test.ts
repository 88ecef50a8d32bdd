import { expect } from 'chai';
import { parseWholeNumber } from '../../../src/cli/parse/whole-number.js';
import { UsageError } from '../../../src/cli/usage-error.js';

describe('a whole number of the command line', () => {
  it('reads digits, up to the most that is allowed', () => {
    expect(parseWholeNumber('--retries', '0')).to.equal(0);
    expect(parseWholeNumber('--port', '65535', 65_535)).to.equal(65_535);
  });

  for (const text of ['', '-1', '+1', '1.5', '1e3', '0x10', ' 1', 'ten', '65536']) {
    it(`refuses ${JSON.stringify(text)} and names the range`, () => {
      expect(() => parseWholeNumber('--port', text, 65_535)).to.throw(
        UsageError,
        /^--port takes a whole number from 0 to 65535/,
      );
    });
  }
});
