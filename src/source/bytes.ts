import { isArrayBuffer, isUint8Array } from 'node:util/types';
import { throwIfAborted } from '../common/abort.js';
import { mustBe, text } from '../common/check-options.js';
import { BitsArgumentError, BitsError } from '../errors.js';
import { BlockSource } from './block-source.js';
import type { ByteSource } from './source.js';

/**
 * Bytes in memory; they are not copied, so leave them as they are until the upload has ended.
 *
 * @param name for servers that want one; bytes have none of their own.
 * @throws BITS_ERR_ARGUMENT for what is neither
 */
export function bytesSource(bytes: Uint8Array | ArrayBuffer, name?: string): ByteSource {
  const isBytes = isUint8Array(bytes) || isArrayBuffer(bytes);
  mustBe(isBytes, 'bytes', 'a Uint8Array or an ArrayBuffer');
  const view = viewOf(bytes);
  // Now: a job of a queue may be opened much later.
  const { byteLength } = view;
  const verify = async () => {
    // A buffer that was transferred to a worker, or resized.
    if (view.byteLength === byteLength) return;
    throw new BitsError(
      'BITS_ERR_SOURCE_CHANGED',
      `The source bytes were ${byteLength} and are now ${view.byteLength}: ` +
        'do not transfer or resize their buffer before the upload has ended.',
    );
  };
  return {
    name: text('name', name),
    async open(signal) {
      throwIfAborted(signal);
      await verify();
      return new BlockSource({
        byteLength,
        verify,
        async load(start, end) {
          await verify();
          return view.subarray(start, end);
        },
        async release() {},
      });
    },
  };
}

/** Of a buffer that was transferred, all views are empty. */
function viewOf(bytes: Uint8Array | ArrayBuffer): Uint8Array {
  try {
    const whole = new Uint8Array(isUint8Array(bytes) ? bytes.buffer : bytes);
    return isUint8Array(bytes) ? bytes : whole;
  } catch (cause) {
    throw new BitsArgumentError('The buffer of the source bytes was transferred: pass a copy.', {
      cause,
    });
  }
}
