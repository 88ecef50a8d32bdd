import { expect } from 'chai';
import { bytesSource } from '../../src/source/bytes.js';
import { describeContract, pattern } from './contract.js';
import { codeOf, collect } from './reading.js';

describe('bytesSource', () => {
  describeContract('bytesSource of a Uint8Array', {
    make: async (bytes, name) => ({ source: bytesSource(bytes, name) }),
  });

  describeContract('bytesSource of an ArrayBuffer', {
    make: async (bytes, name) => ({ source: bytesSource(bytes.slice().buffer, name) }),
  });

  it('gives a part of a larger buffer', async () => {
    const whole = pattern(100);
    const opened = await bytesSource(whole.subarray(10, 20)).open();
    expect(await collect(opened.read(0, 10))).to.deep.equal(Buffer.from(whole.subarray(10, 20)));
  });

  it('has neither a name nor an identity by itself', async () => {
    const source = bytesSource(pattern(1));
    expect(source.name).to.equal(undefined);
    expect((await source.open()).identity).to.equal(undefined);
  });

  it('notices that the buffer was transferred', async () => {
    const bytes = pattern(10);
    const opened = await bytesSource(bytes).open();
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    expect(await codeOf(opened.verify())).to.equal('BITS_ERR_SOURCE_CHANGED');
    expect(await codeOf(collect(opened.read(0, 10)))).to.equal('BITS_ERR_SOURCE_CHANGED');
  });
});
