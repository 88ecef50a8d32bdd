import type { Readable } from 'node:stream';
import { BitsArgumentError } from '../errors.js';

/** What is used of a `ReadableStream`: to TypeScript Node's and that of lib.dom are two types. */
export interface WebStreamInput {
  readonly locked: boolean;
  getReader(): {
    read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
}

/** What can be read once, from front to back. */
export type StreamInput = Readable | WebStreamInput | AsyncIterable<Uint8Array>;

/** The three kinds of stream behind one interface. The type of a chunk is not known yet. */
export interface ChunkFeed {
  next(): Promise<{ readonly done?: boolean | undefined; readonly value?: unknown }>;
  /** Frees what is behind the stream, also while a `next` is pending. Never throws. */
  stop(): void;
}

const ignore = () => {};

/** @throws BITS_ERR_ARGUMENT when somebody else reads or has read the stream. */
export function chunkFeed(stream: StreamInput): ChunkFeed {
  if (isWebStream(stream)) return webFeed(stream);
  if (isReadable(stream)) return readableFeed(stream);
  return iteratorFeed(stream[Symbol.asyncIterator]());
}

export function isStream(value: object): value is StreamInput {
  return Symbol.asyncIterator in value || isWebStream(value);
}

/** By shape: packages bring their own copy of Node's streams. */
export function isReadable(value: object): value is Readable {
  const { on, destroy } = value as Partial<Readable>;
  return typeof on === 'function' && typeof destroy === 'function';
}

function isWebStream(value: object): value is WebStreamInput {
  return typeof (value as { getReader?: unknown }).getReader === 'function';
}

function webFeed(stream: WebStreamInput): ChunkFeed {
  if (stream.locked)
    throw new BitsArgumentError('The source stream is locked: something else is reading it.');
  // Not its iterator, whose return() waits for a pending read before it cancels.
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    stop: () => void reader.cancel().catch(ignore),
  };
}

function readableFeed(stream: Readable): ChunkFeed {
  if (stream.readableEnded)
    throw new BitsArgumentError('The source stream has been read to its end already.');
  const feed = iteratorFeed(stream[Symbol.asyncIterator]());
  return { next: feed.next, stop: () => void stream.destroy() };
}

function iteratorFeed(iterator: AsyncIterator<unknown>): ChunkFeed {
  return {
    next: async () => await iterator.next(),
    stop: () => void stopIterator(iterator).catch(ignore),
  };
}

async function stopIterator(iterator: AsyncIterator<unknown>): Promise<void> {
  await iterator.return?.();
}
