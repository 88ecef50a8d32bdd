import { expect } from 'chai';
import { Mutex } from '../../src/common/mutex.js';

describe('a mutex', () => {
  it('lets one caller in at a time, in the order in which they came', async () => {
    const mutex = new Mutex();
    const order: string[] = [];
    const work = async (name: string) => {
      const release = await mutex.acquire(undefined);
      order.push(`${name} in`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${name} out`);
      release();
    };
    await Promise.all(['a', 'b', 'c'].map(work));
    expect(order).to.deep.equal(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
  });

  it('rejects a caller whose signal aborts, and lets nobody overtake the holder', async () => {
    const mutex = new Mutex();
    const release = await mutex.acquire(undefined);
    const controller = new AbortController();
    const second = mutex.acquire(controller.signal).catch((error: unknown) => error);
    let isThirdIn = false;
    const third = mutex.acquire(undefined).then(() => {
      isThirdIn = true;
    });
    controller.abort();
    expect(await second).to.have.property('code', 'BITS_ERR_ABORTED');
    await new Promise((resolve) => setImmediate(resolve));
    expect(isThirdIn).to.equal(false);
    release();
    await third;
  });
});
