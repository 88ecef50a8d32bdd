import { BitsError } from '../errors.js';
import { throwIfAborted } from './abort.js';
import { BlockSource } from './block-source.js';
import { QuickSource } from './quick-source.js';
import type { ByteSource } from './source.js';

/**
 * Bytes in memory; they are not copied, so leave them as they are until the upload has ended.
 *
 * @param name for servers that want one; bytes have none of their own.
 */
export function bytesSource(bytes: Uint8Array | ArrayBuffer, name?: string): ByteSource {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const open: ByteSource['open'] = async (signal) => {
    throwIfAborted(signal);
    return openView(view);
  };
  return new QuickSource(name, open, () => openView(view));
}

function openView(view: Uint8Array): BlockSource {
  const { byteLength } = view;
  const verify = () => {
    // A buffer that was transferred to a worker, or resized.
    if (view.byteLength === byteLength) return;
    throw new BitsError(
      'BITS_ERR_SOURCE_CHANGED',
      `The source bytes were ${byteLength} and are ${view.byteLength} now: ` +
        'do not transfer or resize their buffer during the upload.',
    );
  };
  return new BlockSource({
    byteLength,
    verify,
    load(start, end) {
      verify();
      return view.subarray(start, end);
    },
    release() {},
  });
}
