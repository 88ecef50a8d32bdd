import { fileURLToPath } from 'node:url';
import { isArrayBuffer, isUint8Array } from 'node:util/types';
import { BitsArgumentError } from '../errors.js';
import { type BlobInput, blobSource, isBlob } from './blob.js';
import { bytesSource } from './bytes.js';
import { isStream, type StreamInput } from './chunk-feed.js';
import { fileSource } from './file.js';
import { type SizedStream, sizedStreamSource } from './sized-stream.js';
import type { ByteSource } from './source.js';
import { type StreamSourceOptions, streamSource } from './stream.js';

/**
 * A path, a `file:` URL, bytes, a `Blob` or `File`, a stream, a stream of known length, or a source of
 * the caller's own.
 */
export type SourceInput =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | BlobInput
  | StreamInput
  | SizedStream
  | ByteSource;

/**
 * Makes a source of whatever a caller may upload.
 * @param options for streams; `name` also for bytes and blobs that have none of their own
 * @throws BITS_ERR_ARGUMENT for anything else, and for URLs that are not `file:`.
 */
export function toByteSource(input: SourceInput, options: StreamSourceOptions = {}): ByteSource {
  const { name } = options;
  // Callers without TypeScript may pass anything.
  const value: unknown = input;
  if (typeof value === 'string') return fileSource(value);
  if (isUint8Array(value) || isArrayBuffer(value)) return bytesSource(value, name);
  if (typeof value === 'object' && value !== null) {
    if (value instanceof URL) return fileSource(pathOf(value));
    if (isBlob(value)) return blobSource(value, name);
    // Before sources: an fs.ReadStream has an open() too.
    if (isSizedStream(value)) return sizedStreamSource(value, { name });
    if (isStream(value)) return streamSource(value, options);
    if (isByteSource(value)) {
      if (value.name === undefined || typeof value.name === 'string') return value;
      throw new BitsArgumentError('The name of a source must be a string, or undefined.');
    }
  }
  throw new BitsArgumentError(
    `A source of type ${typeName(value)} cannot be uploaded: pass a path, a file: URL, ` +
      'a Uint8Array or ArrayBuffer, a Blob or File, a Readable, ReadableStream or other ' +
      'AsyncIterable of bytes, { stream, byteLength }, or a ByteSource.',
  );
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const advice = 'pass a path, or a file: URL with no host and valid UTF-8';
    throw new BitsArgumentError(`A ${url.protocol} URL is no file of this machine: ${advice}.`, {
      cause,
    });
  }
}

/** The `stream` of a `Blob` is a method. */
function isSizedStream(value: object): value is SizedStream {
  const { stream, byteLength } = value as Partial<SizedStream>;
  return byteLength !== undefined && isStream(stream);
}

function isByteSource(value: object): value is ByteSource {
  return typeof (value as Partial<ByteSource>).open === 'function';
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  // A generator's constructor has an empty name.
  return value.constructor?.name || 'object';
}
