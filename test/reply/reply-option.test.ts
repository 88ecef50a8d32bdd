import { resolve } from 'node:path';
import { PassThrough } from 'node:stream';
import { WritableStream } from 'node:stream/web';
import { expect } from 'chai';
import { type ReplyOption, resolveReply } from '../../src/reply/reply-option.js';

const byDefault = { optional: false, sha256: false, overwrite: false };

describe('the option reply', () => {
  it('is memory with a limit of 1 MiB by default', () => {
    const memory = { ...byDefault, maxBytes: 1024 ** 2 };
    expect(resolveReply(undefined)).to.equal(undefined);
    expect(resolveReply(true)).to.deep.equal(memory);
    expect(resolveReply({})).to.deep.equal(memory);
    expect(resolveReply({ to: 'memory' })).to.deep.equal(memory);
  });

  it('has a limit of 1 GiB for a file or a stream by default', () => {
    for (const to of ['answer.bin', new PassThrough()]) {
      expect(resolveReply({ to })?.maxBytes).to.equal(1024 ** 3);
    }
  });

  it('takes any string but memory for the path of a file, and makes it absolute', () => {
    expect(resolveReply({ to: 'answer.bin' })?.path).to.equal(resolve('answer.bin'));
    expect(resolveReply({ to: './memory' })?.path).to.equal(resolve('memory'));
  });

  it('takes the streams of Node and of the web', () => {
    for (const stream of [new PassThrough(), new WritableStream()]) {
      expect(resolveReply({ to: stream })?.stream).to.equal(stream);
    }
  });

  it('keeps what it is given', () => {
    const given = { optional: true, sha256: true, maxBytes: 5, overwrite: true };
    expect(resolveReply({ to: 'x', ...given })).to.include(given);
  });

  const refused: Record<string, unknown> = {
    false: false,
    null: null,
    'a bare word': 'optional',
    'a number': 7,
    'an array': [],
    'a bare stream': new PassThrough(),
    'a bare stream of the web': new WritableStream(),
    'an unknown option': { file: 'answer.bin' },
    'an empty path': { to: '' },
    'a path with a null character': { to: 'a\0b' },
    'a number as the target': { to: 7 },
    'null as the target': { to: null },
    'an object that is not a stream as the target': { to: {} },
    'a limit of 0': { maxBytes: 0 },
    'a limit that is not whole': { maxBytes: 1.5 },
    'a limit that is a text': { maxBytes: '5' },
    'an infinite limit': { maxBytes: Number.POSITIVE_INFINITY },
    'a number for optional': { optional: 1 },
    'a word for sha256': { sha256: 'yes' },
    'a word for overwrite': { to: 'x', overwrite: 'no' },
    'overwrite without a file': { overwrite: true },
  };
  for (const [what, option] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      expect(() => resolveReply(option as ReplyOption))
        .to.throw(/^(There is no option )?reply[ .]/)
        .with.property('code', 'BITS_ERR_ARGUMENT');
    });
  }
});
