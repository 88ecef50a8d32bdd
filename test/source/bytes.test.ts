import { expect } from 'chai';
import { BLOCK_BYTES } from '../../src/source/block-source.js';
import { bytesSource } from '../../src/source/bytes.js';
import { describeContract, pattern } from './contract.js';
import { codeOf, collect } from './reading.js';

/** Of ES2024, which the compiler's library does not know yet. */
type ResizableBuffer = ArrayBuffer & { resize(byteLength: number): void };

function resizableBuffer(byteLength: number): ResizableBuffer {
  const options = { maxByteLength: 2 * byteLength };
  return Reflect.construct(ArrayBuffer, [byteLength, options]) as ResizableBuffer;
}

describe('bytesSource', () => {
  describeContract('bytesSource of a Uint8Array', {
    make: async (bytes, name) => ({ source: bytesSource(bytes, name) }),
  });

  describeContract('bytesSource of an ArrayBuffer', {
    make: async (bytes, name) => ({ source: bytesSource(bytes.slice().buffer, name) }),
  });

  describeContract('bytesSource of a Uint8Array in shared memory', {
    async make(bytes, name) {
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      return { source: bytesSource(shared, name) };
    },
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

  it('refuses bytes whose buffer was transferred before', () => {
    const buffer = new ArrayBuffer(10);
    const bytes = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    for (const gone of [bytes, buffer]) {
      expect(() => bytesSource(gone))
        .to.throw('transferred')
        .with.property('code', 'BITS_ERR_ARGUMENT');
    }
  });

  it('is not empty when the buffer is transferred before the upload begins', async () => {
    const buffer = new ArrayBuffer(10);
    const source = bytesSource(new Uint8Array(buffer));
    structuredClone(buffer, { transfer: [buffer] });
    expect(await codeOf(source.open())).to.equal('BITS_ERR_SOURCE_CHANGED');
  });

  for (const [title, change] of [
    ['transferred', (buffer) => structuredClone(buffer, { transfer: [buffer] })],
    ['shrunk', (buffer) => buffer.resize(70_000)],
    ['grown', (buffer) => buffer.resize(BLOCK_BYTES + 2)],
  ] as [string, (buffer: ResizableBuffer) => void][]) {
    it(`fails the next read, and verify, when the buffer was ${title}`, async () => {
      const buffer = resizableBuffer(BLOCK_BYTES + 1);
      const opened = await bytesSource(buffer).open();
      change(buffer);
      expect(await codeOf(opened.verify())).to.equal('BITS_ERR_SOURCE_CHANGED');
      expect(await codeOf(collect(opened.read(0, 10)))).to.equal('BITS_ERR_SOURCE_CHANGED');
    });

    it(`fails before the last piece when the buffer is ${title} in mid-read`, async () => {
      const byteLength = BLOCK_BYTES + 1;
      const buffer = resizableBuffer(byteLength);
      const opened = await bytesSource(buffer).open();
      const pieces = opened.read(0, byteLength)[Symbol.asyncIterator]();
      let got = (await pieces.next()).value?.byteLength;
      change(buffer);
      const rest = async () => {
        for (let piece = await pieces.next(); !piece.done; piece = await pieces.next())
          got += piece.value.byteLength;
      };
      expect(await codeOf(rest())).to.equal('BITS_ERR_SOURCE_CHANGED');
      expect(got).to.be.below(byteLength);
    });
  }

  it('tells that the buffer was transferred while its only piece was sent', async () => {
    const buffer = resizableBuffer(100);
    const opened = await bytesSource(buffer).open();
    const pieces = opened.read(0, 100)[Symbol.asyncIterator]();
    await pieces.next();
    structuredClone(buffer, { transfer: [buffer] });
    expect(await codeOf(pieces.next())).to.equal('BITS_ERR_SOURCE_CHANGED');
  });
});
