import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { describeError, errorChain, isErrorLike } from '../../src/common/error-like.js';
import { BitsError } from '../../src/errors.js';
import { sourceError } from '../../src/job/guarded-source.js';
import { fileSystemError } from '../../src/store/store-error.js';
import { failureCode } from '../../src/transport/failure.js';

const foreign = (text: string) => runInNewContext(text);
const messages = (error: unknown) => [...errorChain(error)].map(({ message }) => message);

describe('errors of another realm', () => {
  it('are errors, and other things are not', () => {
    for (const error of [new Error('x'), new DOMException('x'), foreign(`new TypeError('x')`)]) {
      expect(isErrorLike(error)).to.equal(true);
    }
    for (const value of [undefined, null, 'Error', 7, {}, { message: 'x' }, () => {}]) {
      expect(isErrorLike(value)).to.equal(false);
    }
  });

  it('are followed down to what caused them, and not in circles', () => {
    const error = foreign(`
      new Error('a', { cause: new AggregateError([new Error('c'), new Error('d')], 'b') })`);
    expect(messages(error)).to.deep.equal(['a', 'b', 'c']);
    expect(messages(new Error('a', { cause: error }))).to.deep.equal(['a', 'a', 'b', 'c']);
    const circle = new Error('a');
    circle.cause = circle;
    expect(messages(circle)).to.have.length(5);
    expect(messages('text')).to.deep.equal([]);
  });

  it('are told as those of this one', () => {
    expect(describeError(foreign(`new TypeError('x')`))).to.equal('TypeError: x');
    expect(describeError(7)).to.equal('7');
    const failure = sourceError('reading', foreign(`new RangeError('no such block')`));
    expect(failure.message).to.equal('reading the source failed: RangeError: no such block');
  });

  it('keep their code in the advice of the store and the transport', () => {
    const full = foreign(`Object.assign(new Error('x'), { code: 'ENOSPC' })`);
    expect(fileSystemError('write', 'a file', full)).to.have.property('reason', 'full');
    const outer = new BitsError('BITS_ERR_TRANSPORT', 'x', { cause: full });
    const unknown = fileSystemError('write', 'a file', foreign(`new TypeError('no such thing')`));
    expect(unknown.message).to.equal('cannot write a file: TypeError: no such thing');
    expect(failureCode(outer.cause)).to.equal('ENOSPC');
  });
});
