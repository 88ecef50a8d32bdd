import { expect } from 'chai';
import { UploadJob } from '../../src/job/upload-job.js';
import type { ByteSource } from '../../src/source/source.js';
import { type BitsServer, createBitsServer } from '../../src/testing/bits-server.js';
import { errorOf } from '../source/reading.js';

describe('a source of the caller', () => {
  let server: BitsServer;
  before(async () => {
    server = await createBitsServer();
  });
  after(() => server.close());

  function reading(read: () => AsyncIterable<Uint8Array>): ByteSource {
    return {
      name: 'own.bin',
      open: async () => ({
        byteLength: 1000,
        read,
        verify: async () => {},
        close: async () => {},
      }),
    };
  }

  const failing = (): never => {
    throw new Error('disk on fire');
  };

  for (const [what, read] of [
    ['read', failing],
    ['the iterator', () => ({ [Symbol.asyncIterator]: failing })],
    ['next', () => ({ [Symbol.asyncIterator]: () => ({ next: failing }) })],
    [
      'what next returns',
      () => ({ [Symbol.asyncIterator]: () => ({ next: async () => failing() }) }),
    ],
  ] as const) {
    it(`is told to have failed, and not the network, when ${what} fails`, async () => {
      const job = new UploadJob({ url: server.url, source: reading(read) });
      const error = await errorOf(job.start());
      expect(error).to.include({ code: 'BITS_ERR_SOURCE', retryable: false });
      expect(error?.message).to.include('reading the source failed').and.include('disk on fire');
    });
  }
});
