import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { BitsError } from '../../src/errors.js';
import { readRange } from '../../src/source/range-reader.js';
import type { OpenSource } from '../../src/source/source.js';
import { collect, errorOf } from './reading.js';

/** A source of 1000 bytes whose read is given. */
function own(read: (start: number, end: number) => unknown): OpenSource {
  return {
    byteLength: 1000,
    read: read as OpenSource['read'],
    verify: async () => {},
    close: async () => {},
  };
}

const iteratorOf = (iterator: object) => ({ [Symbol.asyncIterator]: () => iterator });

describe('readRange', () => {
  it('gives the pieces of the range, without the empty ones', async () => {
    const source = own(async function* (start, end) {
      yield new Uint8Array(0);
      yield Uint8Array.of(start);
      yield new Uint8Array(0);
      yield Uint8Array.of(end);
      yield new Uint8Array(0);
    });
    const lengths: number[] = [];
    for await (const { byteLength } of readRange(source, 3, 5)) lengths.push(byteLength);
    expect(lengths).to.deep.equal([1, 1]);
    expect([...(await collect(readRange(source, 3, 5)))]).to.deep.equal([3, 5]);
  });

  for (const [given, lengths] of [
    ['fewer', [600, 399]],
    ['fewer', []],
    ['more', [600, 401]],
    ['more', [1000, 0, 1]],
  ] as const)
    it(`fails when the source gives pieces of ${lengths.join(', ') || 'no'} bytes for 1000`, async () => {
      let got = 0;
      const source = own(async function* () {
        for (const length of lengths) yield new Uint8Array(length);
      });
      const error = await errorOf(
        (async () => {
          for await (const piece of readRange(source, 0, 1000)) got += piece.byteLength;
        })(),
      );
      expect(error).to.include({ code: 'BITS_ERR_SOURCE', retryable: false });
      expect(error?.message).to.include(`gave ${given} than the 1000 bytes from 0 to 1000`);
      expect(got).to.be.at.most(1000);
    });

  for (const [what, piece] of [
    ['an ArrayBuffer', new ArrayBuffer(1000)],
    ['a string', 'text'],
    ['undefined', undefined],
  ] as const)
    it(`fails when a piece is ${what}`, async () => {
      const source = own(async function* () {
        yield piece;
      });
      const error = await errorOf(collect(readRange(source, 0, 1000)));
      expect(error?.code).to.equal('BITS_ERR_SOURCE');
      expect(error?.message).to.include('not a Uint8Array');
    });

  it('fails when the source gives empty pieces for ever', async () => {
    let isReleased = false;
    const source = own(async function* () {
      try {
        for (;;) yield new Uint8Array(0);
      } finally {
        isReleased = true;
      }
    });
    const error = await errorOf(collect(readRange(source, 0, 1000)));
    expect(error?.message).to.include('empty pieces');
    await turn();
    expect(isReleased).to.equal(true);
  });

  const cause = new Error('disk on fire');
  const failing = () => {
    throw cause;
  };
  for (const [what, read] of [
    ['read', failing],
    ['the iterator', () => ({ [Symbol.asyncIterator]: failing })],
    ['next', () => iteratorOf({ next: failing })],
    ['what next returns', () => iteratorOf({ next: async () => failing() })],
  ] as const)
    it(`fails with BITS_ERR_SOURCE and the cause when ${what} fails`, async () => {
      const error = await errorOf(collect(readRange(own(read), 0, 1000)));
      expect(error?.code).to.equal('BITS_ERR_SOURCE');
      expect(error?.cause).to.equal(cause);
    });

  it('keeps an error of this package as it is', async () => {
    const changed = new BitsError('BITS_ERR_SOURCE_CHANGED', 'changed');
    const source = own(() => {
      throw changed;
    });
    expect(await errorOf(collect(readRange(source, 0, 1000)))).to.equal(changed);
  });

  it('stops at once while the source hangs in next and in return', async () => {
    let returned = 0;
    const hanging = () => new Promise(() => {});
    const source = own(() =>
      iteratorOf({
        next: hanging,
        return: () => {
          returned++;
          return hanging();
        },
      }),
    );
    const pieces = readRange(source, 0, 1000)[Symbol.asyncIterator]();
    void pieces.next();
    expect(await pieces.return?.()).to.deep.equal({ done: true, value: undefined });
    expect(returned).to.equal(1);
  });

  it('asks a source of empty pieces for no more once it was stopped', async () => {
    let asked = 0;
    const source = own(() =>
      iteratorOf({
        next: async () => {
          asked++;
          return { done: false, value: new Uint8Array(0) };
        },
      }),
    );
    const pieces = readRange(source, 0, 1000)[Symbol.asyncIterator]();
    const pending = pieces.next();
    await turn();
    await pieces.return?.();
    expect((await pending).done).to.equal(true);
    const before = asked;
    await turn();
    expect(asked).to.equal(before);
  });
});
