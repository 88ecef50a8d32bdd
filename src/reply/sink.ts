import { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';
import { BitsArgumentError } from '../errors.js';
import { checkReplyFile, discardReplyFile, FileSink } from './file-sink.js';
import { MemorySink } from './memory-sink.js';
import type { ReplySink } from './reply-sink.js';
import { StreamSink } from './stream-sink.js';

/** The most that a reply in memory may hold, as for GetReplyData of Windows. */
export const MAX_REPLY_DATA_BYTES = 1024 ** 2;

/** A reply in memory, as `data` of the result. */
export interface ReplyToMemory {
  /** @default 1048576 */
  maxBytes: number;
}

/** A reply in a file, which appears when it is whole. */
export interface ReplyToFile {
  file: string;
  /** Whether a file that is there already may be replaced. @default false */
  overwrite?: boolean | undefined;
  /** Refuses a larger reply. @default no limit */
  maxBytes?: number | undefined;
}

/**
 * Where the reply goes: `true` for memory with its default limit.
 *
 * A stream gets each byte once, at its own pace, and is ended when the reply is whole (standard
 * output and standard error are not); after a failure it is left as it is.
 */
export type ReplyOption = true | ReplyToMemory | ReplyToFile | Writable | WritableStream;

export interface ReplySinkContext {
  /** Job id: another process finds the partial file by it. */
  readonly id: string;
  readonly sha256: boolean;
}

// A stream remembers what it was given, so that a later download of the same job gives it no byte twice.
const streamSinks = new WeakMap<object, { readonly id: string; readonly sink: StreamSink }>();

/**
 * Makes the sink for a reply; one job gets the same one for the same stream each time.
 * @throws BITS_ERR_ARGUMENT for an option that is none
 */
export function createReplySink(option: ReplyOption, { id, sha256 }: ReplySinkContext): ReplySink {
  if (option === true) return new MemorySink(MAX_REPLY_DATA_BYTES, sha256);
  if (isFile(option)) {
    const { file, overwrite = false, maxBytes } = option;
    return new FileSink({ id, file, overwrite, maxBytes: limit(maxBytes), sha256 });
  }
  if (isStream(option)) {
    const known = streamSinks.get(option);
    if (known?.id === id) return known.sink;
    const sink = new StreamSink(isWeb(option) ? Writable.fromWeb(option) : option, sha256);
    streamSinks.set(option, { id, sink });
    return sink;
  }
  if (isMemory(option)) return new MemorySink(limit(option.maxBytes), sha256);
  throw noOption();
}

/**
 * Checks, before anything is sent, that a reply can go there.
 *
 * @param id of the job: a target that an earlier run of the same job put in place is no obstacle.
 * @throws BITS_ERR_ARGUMENT
 */
export async function checkReplyTarget(option: ReplyOption, id: string): Promise<void> {
  if (option === true) return;
  if (isFile(option)) {
    limit(option.maxBytes);
    if (option.file === '') throw new BitsArgumentError('The reply needs a file name, not ""');
    const { file, overwrite = false } = option;
    await checkReplyFile({ id, file, overwrite });
  } else if (isStream(option)) {
    if (!isUsable(option)) {
      throw new BitsArgumentError('The stream for the reply is closed, ended or in use elsewhere');
    }
  } else if (isMemory(option)) limit(option.maxBytes);
  else throw noOption();
}

/**
 * Removes the reply to an upload that has to begin again, in part or whole; a file that may be
 * overwritten stays until the new reply replaces it.
 *
 * @param id of the job
 * @param stored whether this process has put the reply in place; else only a file that is proven to
 *   be the job's goes.
 */
export async function discardReply(
  option: ReplyOption,
  { id, stored }: { readonly id: string; readonly stored: boolean },
): Promise<void> {
  if (option === true || !isFile(option)) return;
  const { file, overwrite = false } = option;
  await discardReplyFile({ id, file, overwrite, stored });
}

function isUsable(stream: Writable | WritableStream): boolean {
  // A sink of an earlier run holds the lock of a web stream.
  if (isWeb(stream)) return !stream.locked || streamSinks.has(stream);
  return !stream.destroyed && !stream.writableEnded;
}

function limit(maxBytes: number | undefined): number {
  if (maxBytes === undefined) return Number.MAX_SAFE_INTEGER;
  if (Number.isSafeInteger(maxBytes) && maxBytes > 0) return maxBytes;
  throw new BitsArgumentError('maxBytes of the reply must be a whole number above 0');
}

function isObject(option: unknown): option is object {
  return typeof option === 'object' && option !== null;
}

function isFile(option: unknown): option is ReplyToFile {
  return isObject(option) && 'file' in option && typeof option.file === 'string';
}

function isMemory(option: unknown): option is ReplyToMemory {
  return isObject(option) && 'maxBytes' in option;
}

function isStream(option: unknown): option is Writable | WritableStream {
  return isWeb(option) || (isObject(option) && 'write' in option && 'end' in option);
}

function isWeb(option: unknown): option is WritableStream {
  return isObject(option) && 'getWriter' in option;
}

function noOption(): BitsArgumentError {
  return new BitsArgumentError(
    'reply must be true, { file: … }, { maxBytes: … }, a Writable or a WritableStream',
  );
}
