import { expect } from 'chai';
import { BitsTimeoutError, isBitsError } from '../src/errors.js';
import { parseRecord } from '../src/store/record.js';
import { otherCopy } from './support/other-copy.js';

describe('isBitsError', () => {
  it('knows the errors of this package, and nothing else', () => {
    expect(isBitsError(new BitsTimeoutError('x'))).to.equal(true);
    for (const value of [new Error('x'), { code: 'BITS_ERR_STATE' }, 'x', 0, null, undefined]) {
      expect(isBitsError(value)).to.equal(false);
    }
  });

  it('knows those of another copy, and a record passes them on as they are', async () => {
    const { BitsError } = await otherCopy();
    const error = new BitsError('BITS_ERR_STORE', 'x');
    expect(isBitsError(error)).to.equal(true);
    const record = {
      get version() {
        throw error;
      },
    };
    expect(() => parseRecord(record))
      .to.throw()
      .that.equals(error);
  });
});
