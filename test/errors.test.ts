import { expect } from 'chai';
import { BitsError, BitsStateError, BitsTimeoutError, isBitsError } from '../src/errors.js';
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

describe('instanceof', () => {
  it('knows the errors of another copy by their class, and by the classes that it extends', async () => {
    const other = await otherCopy();
    const error = new other.BitsTimeoutError('x');
    expect(error.constructor).to.not.equal(BitsTimeoutError);
    expect(error).to.be.instanceOf(BitsTimeoutError).and.instanceOf(BitsError);
    expect(error).to.not.be.instanceOf(BitsStateError);
    expect(new BitsTimeoutError('x')).to.be.instanceOf(other.BitsTimeoutError);
  });

  it('works as usual for classes that a caller derives', async () => {
    class OwnError extends BitsTimeoutError {}
    expect(new OwnError('x')).to.be.instanceOf(OwnError).and.instanceOf(BitsTimeoutError);
    expect(new BitsTimeoutError('x')).to.not.be.instanceOf(OwnError);
    expect(new (await otherCopy()).BitsTimeoutError('x')).to.not.be.instanceOf(OwnError);
  });

  it('is false for whatever else may be thrown', () => {
    const hostile = new Proxy(new BitsError('BITS_ERR_STATE', 'x'), {
      get() {
        throw new Error('hostile');
      },
    });
    for (const value of [hostile, new Error('x'), {}, 'x', 0, null, undefined]) {
      expect(value instanceof BitsError).to.equal(false);
    }
  });
});
