import { Blob, File } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { BitsArgumentError } from '../../src/errors.js';
import { bytesSource } from '../../src/source/bytes.js';
import { type SourceInput, toByteSource } from '../../src/source/to-source.js';
import { useTempDir } from '../support/files.js';
import { codeOf, collect } from './reading.js';

describe('toByteSource', () => {
  const dir = useTempDir();
  const path = () => join(dir.path, 'data#1 ü.bin');
  const bytes = Uint8Array.of(1, 2, 3, 4);

  beforeEach(() => writeFile(path(), bytes));

  const inputs: Record<string, () => SourceInput> = {
    'a path': path,
    'a file: URL': () => pathToFileURL(path()),
    'a Uint8Array': () => bytes,
    'a Buffer': () => Buffer.from(bytes),
    'an ArrayBuffer': () => bytes.slice().buffer,
    'a Uint8Array of another realm': () => runInNewContext('Uint8Array.of(1, 2, 3, 4)'),
    'an ArrayBuffer of another realm': () => runInNewContext('Uint8Array.of(1, 2, 3, 4).buffer'),
    'a Blob': () => new Blob([bytes]),
    'a File': () => new File([bytes], 'data.bin'),
    'a Readable': () => Readable.from([bytes]),
    'a ReadStream': () => createReadStream(path()),
    'a ReadableStream': () => ReadableStream.from([bytes]) as ReadableStream<Uint8Array>,
    'an async generator': async function* () {
      yield bytes;
    } as () => AsyncGenerator<Uint8Array>,
    'a source': () => bytesSource(bytes),
  };

  for (const [title, input] of Object.entries(inputs))
    it(`takes ${title}`, async () => {
      const opened = await toByteSource(input()).open();
      try {
        expect([...(await collect(opened.read(0, 4)))]).to.deep.equal([1, 2, 3, 4]);
        expect(opened.byteLength).to.equal(4);
      } finally {
        await opened.close();
      }
    });

  it('returns a source that it is given', () => {
    const source = bytesSource(bytes);
    expect(toByteSource(source, { name: 'other' })).to.equal(source);
  });

  it('names what has no name of its own, and leaves files their names', () => {
    const nameOf = (input: SourceInput) => toByteSource(input, { name: 'n' }).name;
    expect(nameOf(bytes)).to.equal('n');
    expect(nameOf(new Blob([]))).to.equal('n');
    expect(nameOf(Readable.from([]))).to.equal('n');
    expect(nameOf(new File([], 'data.bin'))).to.equal('data.bin');
    expect(nameOf('/tmp/data.bin')).to.equal('data.bin');
  });

  it('passes the options of the temp file on', async () => {
    const limited = toByteSource(Readable.from([bytes]), { maxBytes: 3 });
    expect(await codeOf(limited.open())).to.equal('BITS_ERR_ARGUMENT');
    const nowhere = toByteSource(Readable.from([bytes]), {
      directory: join(dir.path, 'none'),
    });
    expect(await codeOf(nowhere.open())).to.equal('BITS_ERR_ARGUMENT');
  });

  for (const [value, type] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [42, 'number'],
    [() => {}, 'function'],
    [[1, 2], 'Array'],
    [{}, 'Object'],
    [Object.create(null), 'object'],
    [new Uint16Array(2), 'Uint16Array'],
    [new SharedArrayBuffer(2), 'SharedArrayBuffer'],
    [(function* () {})(), 'object'],
  ] as const)
    it(`refuses ${type}, and says what it takes`, () => {
      expect(() => toByteSource(value as never)).to.throw(
        BitsArgumentError,
        new RegExp(`type ${type} .* path, a file: URL, .*Blob.*Readable.*ByteSource`),
      );
    });

  it('refuses URLs of no local file, without repeating them', () => {
    for (const url of [
      'http://user:secret@server/x',
      // On Windows this is a file of another machine.
      ...(process.platform === 'win32' ? [] : ['file://other-host/x']),
      'file:///caf%E9',
      'data:,secret',
    ])
      expect(() => toByteSource(new URL(url)))
        .to.throw(BitsArgumentError, 'pass a path, or a file: URL with')
        .with.property('message')
        .that.does.not.include('secret');
  });
});
