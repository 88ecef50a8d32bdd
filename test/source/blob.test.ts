import { Blob, File } from 'node:buffer';
import { openAsBlob } from 'node:fs';
import { appendFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type BlobInput, blobSource } from '../../src/source/blob.js';
import { BLOCK_BYTES } from '../../src/source/block-source.js';
import { useTempDir } from '../support/files.js';
import { describeContract, pattern } from './contract.js';
import { codeOf, collect } from './reading.js';

const LONG_AGO = new Date('2001-02-03T04:05:06Z');

/** A blob of a polyfill. */
const sized = (size: number): BlobInput & { size: number } => ({
  size,
  slice: (start, end) => sized(end - start),
  arrayBuffer: async () => new ArrayBuffer(size),
});

describe('blobSource', () => {
  const dir = useTempDir();
  const path = () => join(dir.path, 'data.bin');

  describeContract('blobSource of a Blob', {
    nameless: true,
    make: async (bytes) => ({ source: blobSource(new Blob([bytes])) }),
  });

  describeContract('blobSource of a File in parts', {
    make: async (bytes, name) => {
      const middle = Math.floor(bytes.length / 3);
      const parts = [bytes.subarray(0, middle), bytes.subarray(middle)];
      return { source: blobSource(new File(parts, name)) };
    },
  });

  describeContract('blobSource of a file that was opened as a Blob', {
    nameless: true,
    async make(bytes) {
      await writeFile(path(), bytes);
      return { source: blobSource(await openAsBlob(path())) };
    },
  });

  it('is named by the last segment of a file name that holds a path', () => {
    expect(blobSource(new File([], 'C:\\dir\\a.bin')).name).to.equal('a.bin');
    expect(blobSource(new File([], 'dir/a.bin')).name).to.equal('a.bin');
    expect(blobSource(new File([], '')).name).to.equal(undefined);
  });

  it('reads at most one block at once', async () => {
    const asked: number[] = [];
    const blob = new Blob([pattern(2 * BLOCK_BYTES + 1)]);
    const slice = blob.slice.bind(blob);
    blob.slice = (start, end, type) => {
      asked.push((end ?? blob.size) - (start ?? 0));
      return slice(start, end, type);
    };
    const opened = await blobSource(blob).open();
    await collect(opened.read(0, opened.byteLength));
    expect(Math.max(...asked)).to.equal(BLOCK_BYTES);
  });

  for (const [title, change] of [
    ['was appended to', () => appendFile(path(), 'more')],
    ['was cut', () => truncate(path(), 50)],
    ['was written over', () => writeFile(path(), pattern(101).subarray(1))],
    ['was removed', () => rm(path())],
  ] as const) {
    it(`fails the next read, and verify, when the file behind it ${title}`, async () => {
      await writeFile(path(), pattern(100));
      // A change in the same tick of the file system's clock would not show.
      await utimes(path(), LONG_AGO, LONG_AGO);
      const opened = await blobSource(await openAsBlob(path())).open();
      await collect(opened.read(0, 10));
      await change();
      expect(await codeOf(opened.verify())).to.equal('BITS_ERR_SOURCE_CHANGED');
      expect(await codeOf(collect(opened.read(10, 20)))).to.equal('BITS_ERR_SOURCE_CHANGED');
    });

    it(`ends a read before its last piece when the file behind it ${title}`, async () => {
      await writeFile(path(), pattern(BLOCK_BYTES + 1));
      await utimes(path(), LONG_AGO, LONG_AGO);
      const opened = await blobSource(await openAsBlob(path())).open();
      const pieces = opened.read(0, BLOCK_BYTES + 1)[Symbol.asyncIterator]();
      await pieces.next();
      await change();
      expect(await codeOf(pieces.next())).to.equal('BITS_ERR_SOURCE_CHANGED');
    });
  }

  it('fails the next read, and verify, when its size changes', async () => {
    const blob = sized(100);
    const opened = await blobSource(blob).open();
    blob.size = 101;
    expect(await codeOf(opened.verify())).to.equal('BITS_ERR_SOURCE_CHANGED');
    expect(await codeOf(collect(opened.read(10, 20)))).to.equal('BITS_ERR_SOURCE_CHANGED');
  });

  it('refuses a blob that gives fewer bytes than its size', async () => {
    const blob = new Blob(['abcdef']);
    const opened = await blobSource(blob).open();
    blob.slice = () => new Blob([]);
    expect(await codeOf(collect(opened.read(0, 6)))).to.equal('BITS_ERR_SOURCE_CHANGED');
  });

  it('fails with BITS_ERR_SOURCE when the blob cannot be read for another reason', async () => {
    const blob = new Blob(['abc']);
    blob.slice = () => {
      throw new Error('no');
    };
    const opened = await blobSource(blob).open();
    expect(await codeOf(collect(opened.read(0, 3)))).to.equal('BITS_ERR_SOURCE');
  });
});
