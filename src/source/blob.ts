import { throwIfAborted } from '../common/abort.js';
import { mustBe, text } from '../common/check-options.js';
import { BitsError } from '../errors.js';
import { BlockSource } from './block-source.js';
import type { ByteSource } from './source.js';

/** What is used of a `Blob`: to TypeScript Node's and that of lib.dom are two types. */
export interface BlobInput {
  /** In bytes. */
  readonly size: number;
  /** Bytes `start` (inclusive) to `end` (exclusive). */
  slice(start: number, end: number): BlobInput;
  /** All of its bytes. */
  arrayBuffer(): Promise<ArrayBuffer>;
}

/**
 * A `Blob`, or a `File` with its name; read in slices, however large it is.
 *
 * For a file of this machine `fileSource` is several times faster than `fs.openAsBlob`.
 * @param name for a blob that has none of its own.
 * @throws BITS_ERR_ARGUMENT for what is no Blob
 */
export function blobSource(blob: BlobInput, name?: string): ByteSource {
  mustBe(isBlob(blob), 'blob', 'a Blob or a File');
  const givenName = text('name', name);
  return {
    name: nameOf(blob) ?? givenName,
    async open(signal) {
      throwIfAborted(signal);
      const byteLength = blob.size;
      const load = (start: number, end: number) => readSlice(blob, start, end);
      return new BlockSource({
        byteLength,
        load,
        async verify() {
          if (blob.size !== byteLength) throw changed({});
          // A blob over a file notices a change when it is read, and only then.
          await load(0, Math.min(1, byteLength));
        },
        async release() {},
      });
    },
  };
}

/** By shape: the `Blob` of another realm or of a polyfill is no instance of this one's. */
export function isBlob(value: unknown): value is BlobInput {
  const { size, slice, arrayBuffer } = (value ?? {}) as Partial<BlobInput>;
  return (
    typeof size === 'number' && typeof slice === 'function' && typeof arrayBuffer === 'function'
  );
}

function nameOf(blob: BlobInput): string | undefined {
  const { name } = blob as { name?: unknown };
  if (typeof name !== 'string') return undefined;
  return name.split(/[\\/]/).at(-1) || undefined;
}

async function readSlice(blob: BlobInput, start: number, end: number): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await blob.slice(start, end).arrayBuffer());
  } catch (cause) {
    if ((cause as Error | undefined)?.name === 'NotReadableError') throw changed({ cause });
    throw new BitsError('BITS_ERR_SOURCE', 'The source blob cannot be read.', { cause });
  }
  if (bytes.byteLength !== end - start) throw changed({});
  return bytes;
}

function changed(options: { cause?: unknown }): BitsError {
  return new BitsError(
    'BITS_ERR_SOURCE_CHANGED',
    'The file behind the source blob was changed or removed during the upload: ' +
      'upload it again when nothing writes to it (0x8020001D BG_E_LOCAL_FILE_CHANGED).',
    options,
  );
}
