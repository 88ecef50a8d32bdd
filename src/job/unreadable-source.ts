import { BitsError } from '../errors.js';
import type { ByteSource } from '../source/source.js';

/** Stands in for a source that need not be read, when a session is only to be cancelled. */
export function unreadableSource(byteLength: number): ByteSource {
  const gone = (): BitsError =>
    new BitsError('BITS_ERR_SOURCE', 'the source was not opened: the upload is being cancelled');
  return {
    name: undefined,
    open: async () => ({
      byteLength,
      // biome-ignore lint/correctness/useYield: there is nothing to yield
      async *read() {
        throw gone();
      },
      verify: async () => {},
      close: async () => {},
    }),
  };
}
