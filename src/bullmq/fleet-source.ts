import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { unlessAborted } from '../common/abort.js';
import { codeOf, describeError, isErrorLike } from '../common/error-like.js';
import { BitsArgumentError } from '../errors.js';
import { fileSource } from '../source/file.js';
import { MAX_WINDOW_BYTES, type SizedStream } from '../source/sized-stream.js';
import type { ByteSource, OpenSource, SourceIdentity } from '../source/source.js';
import { type SourceInput, toByteSource } from '../source/to-source.js';
import { isReference, OtherWorkerError } from './job-data.js';
import { assertInside } from './worker-directories.js';

/** What `resolveSource` gives: a source as of any upload, or a stream with a version. */
export type FleetSource = SourceInput | VersionedStream;

/**
 * A stream of known length and what tells its content from another one, such as an ETag. With a version
 * another worker resumes the upload: it reads a new stream from the start, and sends what is missing.
 */
export interface VersionedStream extends SizedStream {
  readonly version?: string | undefined;
}

/** Opens what a job names as its source, such as `s3://bucket/key`. */
export type ResolveSource = (
  source: string,
  context: {
    readonly jobId: string;
    /** Aborts when the job is stopped. */
    readonly signal: AbortSignal;
  },
) => FleetSource | Promise<FleetSource>;

function unseen(source: string, why: string): OtherWorkerError {
  return new OtherWorkerError('BITS_ERR_SOURCE', `This worker cannot read ${source}: ${why}`);
}

export interface SourceSetting {
  readonly resolveSource: ResolveSource | undefined;
  /** Files must be in one of them; undefined: anywhere. */
  readonly directories: readonly string[] | undefined;
}

/**
 * Opens the source of a job.
 * @throws OtherWorkerError when this worker cannot
 */
export async function openFleetSource(
  source: string,
  { resolveSource, directories }: SourceSetting,
  context: { readonly jobId: string; readonly signal: AbortSignal },
): Promise<ByteSource> {
  if (!isReference(source)) {
    await assertReadable(source, directories);
    return fileSource(source);
  }
  if (resolveSource === undefined) {
    throw unseen(source, 'it is a reference, and the worker has no resolveSource.');
  }
  let given: FleetSource;
  try {
    given = await unlessAborted(Promise.resolve(resolveSource(source, context)), context.signal);
  } catch (error) {
    context.signal.throwIfAborted();
    throw unseen(source, isErrorLike(error) ? error.message : describeError(error));
  }
  return identified(source, given);
}

/**
 * Checks that the worker may write a reply there.
 * @throws OtherWorkerError when it may not, or has no such folder
 */
export async function assertWritable(
  path: string,
  directories: readonly string[] | undefined,
): Promise<void> {
  try {
    await assertInside(path, directories);
    await access(dirname(path), constants.W_OK);
  } catch (error) {
    const why =
      error instanceof BitsArgumentError
        ? error.message
        : `${codeOf(error)} for its folder. Check that it is there on the machine of the worker.`;
    throw new OtherWorkerError('BITS_ERR_REPLY', `This worker cannot write ${path}: ${why}`);
  }
}

async function assertReadable(
  path: string,
  directories: readonly string[] | undefined,
): Promise<void> {
  try {
    await assertInside(path, directories);
    await access(path, constants.R_OK);
  } catch (error) {
    if (error instanceof BitsArgumentError) throw unseen(path, error.message);
    throw unseen(
      path,
      `${(error as NodeJS.ErrnoException).code ?? 'the system refused it'}. Check that the path is ` +
        'mounted on the machine of the worker.',
    );
  }
}

/** With an identity a record is kept, by which another worker resumes the upload. */
function identified(source: string, given: FleetSource): ByteSource {
  const name = nameOf(source);
  const { version } = given as VersionedStream;
  const inner = toByteSource(given, { name });
  const isStream = isSized(given);
  return {
    name: inner.name ?? name,
    async open(signal) {
      const opened = await inner.open(signal);
      if (opened.identity !== undefined) return opened;
      const identity = identityOf(source, opened.byteLength, version);
      return { ...(isStream ? skipping(opened) : bound(opened)), identity };
    },
    async dispose() {
      await inner.dispose?.();
    },
  };
}

function isSized(given: FleetSource): boolean {
  return typeof given === 'object' && 'byteLength' in given && 'stream' in given;
}

/** Without a version nothing says that the content is the same: then each run is another one. */
function identityOf(
  source: string,
  byteLength: number,
  version: string | undefined,
): SourceIdentity {
  const known = version === undefined ? randomBytes(12) : digestOf(version);
  return {
    path: `/${source}`,
    byteLength,
    mtimeNs: BigInt(`0x${known.toString('hex')}`).toString(),
    inode: '0',
  };
}

function digestOf(version: string): Buffer {
  return createHash('sha256').update(version).digest().subarray(0, 12);
}

/** The methods of a source may be those of a class. */
function bound(source: OpenSource): OpenSource {
  return {
    byteLength: source.byteLength,
    ...(source.maxRangeBytes !== undefined && { maxRangeBytes: source.maxRangeBytes }),
    read: (start, end) => source.read(start, end),
    verify: () => source.verify(),
    close: () => source.close(),
  };
}

/** Reads a stream up to where the upload is resumed; the source keeps no more than a window of it. */
function skipping(source: OpenSource): OpenSource {
  let position = 0;
  return {
    ...bound(source),
    async *read(start, end) {
      while (position < start) {
        const next = Math.min(start, position + MAX_WINDOW_BYTES);
        for await (const piece of source.read(position, next)) position += piece.byteLength;
      }
      position = Math.max(position, end);
      yield* source.read(start, end);
    },
  };
}

function nameOf(source: string): string | undefined {
  const last = source.slice(source.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(last) || undefined;
  } catch {
    return last || undefined;
  }
}
