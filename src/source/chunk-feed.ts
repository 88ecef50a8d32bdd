import { finished, PassThrough, Readable } from 'node:stream';
import { isGeneratorObject, isUint8Array } from 'node:util/types';
import { sharedByCopies } from '../across-copies.js';
import { isObject, mustBe } from '../common/check-options.js';
import { nextTurn } from '../common/clock.js';
import { BitsArgumentError, BitsError, BitsStateError } from '../errors.js';

/** What is used of a `ReadableStream`: to TypeScript Node's and that of lib.dom are two types. */
export interface WebStreamInput {
  /** Whether somebody reads it already. */
  readonly locked: boolean;
  /** Takes the right to read it. */
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

/** The streams that belong to a feed: each can only be read once. */
const taken = sharedByCopies('taken-streams', () => new WeakSet<object>());

/**
 * Takes hold of a stream: whoever else reads it from now on, every byte reaches the feed, or the feed
 * fails.
 *
 * The stream waits for the first `next`, and others who read it wait with it.
 * @throws BITS_ERR_ARGUMENT for what is no stream, and when somebody else reads or has read it
 */
export function chunkFeed(stream: StreamInput): ChunkFeed {
  mustBe(isStream(stream), 'stream', 'a Readable, a ReadableStream or an AsyncIterable of bytes');
  if (taken.has(stream))
    throw new BitsArgumentError(
      'The source stream already belongs to another upload: give each upload a stream of its own.',
    );
  const feed = feedOf(stream);
  taken.add(stream);
  return feed;
}

function feedOf(stream: StreamInput): ChunkFeed {
  try {
    if (isWebStream(stream)) return webFeed(stream);
    if (isReadable(stream)) return readableFeed(stream);
    return iteratorFeed(stream);
  } catch (error) {
    if (error instanceof BitsArgumentError) throw error;
    throw refusal('cannot be read', error);
  }
}

/**
 * The next bytes of a stream, which may be none; undefined at its end.
 * @throws BITS_ERR_ARGUMENT for a chunk that is not bytes; BITS_ERR_SOURCE when the stream fails
 */
export async function nextBytes(feed: ChunkFeed): Promise<Uint8Array | undefined> {
  const { done, value } = await nextChunk(feed);
  if (done) return undefined;
  if (!isUint8Array(value)) {
    const what = typeof value === 'string' ? 'strings' : 'objects';
    throw new BitsArgumentError(
      `The source stream gives ${what}, not bytes: ` +
        'remove its encoding or object mode, or encode its chunks first.',
    );
  }
  // A stream of empty chunks must not starve timers and signals.
  if (value.byteLength === 0) await nextTurn();
  return value;
}

async function nextChunk(feed: ChunkFeed) {
  try {
    return await feed.next();
  } catch (cause) {
    if (cause instanceof BitsArgumentError) throw cause;
    throw new BitsError('BITS_ERR_SOURCE', 'The source stream failed before its end.', { cause });
  }
}

export function isStream(value: unknown): value is StreamInput {
  return isObject(value) && (Symbol.asyncIterator in value || isWebStream(value));
}

/** By shape: packages bring their own copy of Node's streams. */
function isReadable(value: object): value is Readable {
  const { on, pipe, destroy } = value as Partial<Readable>;
  return [on, pipe, destroy].every((method) => typeof method === 'function');
}

function isWebStream(value: object): value is WebStreamInput {
  return typeof (value as { getReader?: unknown }).getReader === 'function';
}

function webFeed(stream: WebStreamInput): ChunkFeed {
  if (stream.locked) throw refusal('is locked, because something else reads it');
  // Also of web streams, although its type knows Node's own only.
  if (Readable.isDisturbed(stream as unknown as Readable)) throw refusal('was read already');
  // Not its iterator, whose return() waits for a pending read before it cancels.
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    stop: () => quietly(() => reader.cancel()),
  };
}

/**
 * By `pipe`, which gives each of several readers every chunk and holds the stream back for the
 * slowest one.
 */
function readableFeed(stream: Readable): ChunkFeed {
  assertUnread(stream);
  const held = new PassThrough({ objectMode: true, highWaterMark: 1 });
  held.on('error', ignore);
  const lose = () => held.destroy(new Error('Something else took the stream from the upload'));
  stream.prependOnceListener('end', () => {
    if (stream.listeners('data').includes(onData)) held.end();
    else lose();
  });
  held.once('unpipe', () => {
    if (!held.writableEnded) lose();
  });
  stream.pipe(held, { end: false });
  const onData = stream.listeners('data').at(-1) as () => void;
  finished(stream, { writable: false }, (error) => error && held.destroy(error));
  stream.pause();
  const chunks = held[Symbol.asyncIterator]();
  let isStarted = false;
  return {
    next() {
      if (!isStarted) stream.resume();
      isStarted = true;
      return chunks.next();
    },
    stop() {
      quietly(() => stream.destroy());
      held.destroy();
    },
  };
}

function assertUnread(stream: Readable): void {
  const { errored } = stream;
  if (errored) throw refusal('has failed', errored);
  if (stream.readableDidRead || stream.readableEnded) throw refusal('was read already');
  if (stream.destroyed || stream.readable === false) throw refusal('was closed already');
  if (stream.readableEncoding)
    throw new BitsArgumentError(
      'The source stream gives strings, not bytes: remove its encoding (setEncoding).',
    );
  // Streams of older packages do not tell whether they were read.
  const mayBeRead = stream.readableDidRead === undefined && stream.readableFlowing === true;
  if (mayBeRead || stream.listenerCount('readable') > 0) throw refusal('is read by something else');
}

function refusal(what: string, cause?: unknown): BitsArgumentError {
  return new BitsArgumentError(
    `The source stream ${what}: create the upload before anything reads the stream, or pass a new stream.`,
    { cause },
  );
}

function iteratorFeed(stream: AsyncIterable<Uint8Array>): ChunkFeed {
  const iterator = stream[Symbol.asyncIterator]();
  const next = iterator.next.bind(iterator);
  const isOwnIterator = (iterator as unknown) === stream;
  // Of a generator, others would take every other chunk; of other objects the method may be needed.
  if (isOwnIterator && isGeneratorObject(stream)) {
    const value = async () => {
      throw new BitsStateError('The generator belongs to an upload: nothing else can read it.');
    };
    Reflect.defineProperty(iterator, 'next', { value, configurable: true });
  }
  let isStarted = false;
  return {
    async next() {
      const result = await next();
      if (result.done && !isStarted && isOwnIterator)
        throw new BitsArgumentError(
          'The source iterator ended at once: it was read already, or is empty. Pass a new one, ' +
            'or new Uint8Array(0) for an empty file.',
        );
      isStarted = true;
      return result;
    },
    stop: () => quietly(() => iterator.return?.()),
  };
}

/** What goes wrong while a stream is given up must not hide why it is. */
function quietly(work: () => unknown): void {
  (async () => work())().catch(ignore);
}
