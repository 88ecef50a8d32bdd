import { expect } from 'chai';
import { later } from '../../src/job/schedule.js';

describe('what is to be done later', () => {
  it('is done though a test suite has put a setTimeout of its own in place since', async () => {
    const real = globalThis.setTimeout;
    globalThis.setTimeout = (() => expect.fail('it was asked')) as unknown as typeof setTimeout;
    try {
      await new Promise<void>((resolve) => later(resolve, 1));
    } finally {
      globalThis.setTimeout = real;
    }
  });

  it('is not done once it is dismissed', async () => {
    let done = false;
    const dismiss = later(() => {
      done = true;
    }, 1);
    dismiss();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).to.equal(false);
  });
});
