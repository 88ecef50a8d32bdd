import { expect } from 'chai';
import { AbortSwitch } from '../../src/common/abort-switch.js';

describe('an AbortSwitch', () => {
  it('gives a signal that fires with it, whenever that is asked for', () => {
    const reason = new Error('enough');
    const before = new AbortSwitch();
    const { signal } = before;
    let calls = 0;
    signal.addEventListener('abort', () => calls++);
    expect(signal.aborted).to.equal(false);
    expect(before.signal).to.equal(signal);
    before.abort(reason);
    before.abort(new Error('more'));
    expect(signal).to.include({ aborted: true, reason });
    expect(calls).to.equal(1);

    const after = new AbortSwitch();
    after.abort(reason);
    expect(after.signal).to.include({ aborted: true, reason });
  });

  it('calls each listener once, but for those that left', () => {
    const abortSwitch = new AbortSwitch();
    const calls: string[] = [];
    const leaving = () => calls.push('leaving');
    abortSwitch.listen(leaving);
    abortSwitch.listen(() => calls.push('staying'));
    abortSwitch.unlisten(leaving);
    abortSwitch.abort(new Error('enough'));
    abortSwitch.abort(new Error('more'));
    expect(calls).to.deep.equal(['staying']);
  });

  it('throws its reason from then on', () => {
    const abortSwitch = new AbortSwitch();
    abortSwitch.throwIfAborted();
    abortSwitch.abort(new Error('enough'));
    expect(() => abortSwitch.throwIfAborted()).to.throw('enough');
  });
});
