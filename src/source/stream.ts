import { isPaused, throwIfAborted, unlessAborted } from '../common/abort.js';
import { callOptions, mustBe, type OptionNames, text } from '../common/check-options.js';
import { Mutex } from '../common/mutex.js';
import { BitsArgumentError, BitsError, BitsStateError } from '../errors.js';
import { BlockSource } from './block-source.js';
import { type ChunkFeed, chunkFeed, nextBytes, type StreamInput } from './chunk-feed.js';
import { FileBlocks } from './file-blocks.js';
import type { ByteSource, OpenSource } from './source.js';
import { createSpoolFile, GatheredWrites, type SpoolFile } from './spool-file.js';

/** Four gibibytes; see {@link SpoolOptions.maxBytes}. */
const DEFAULT_SPOOL_MAX_BYTES = 4 * 1024 ** 3;

/** How much of a stream is stored in a temp file, and where. */
export interface SpoolOptions {
  /**
   * Longest stream, in bytes. The default keeps an endless stream from filling the temp directory,
   * which on many systems is memory; what is larger is better given as a file, because an upload
   * from a stream cannot be resumed after a restart.
   * @default 4294967296
   */
  readonly maxBytes?: number | undefined;
  /** The name of `maxBytes` in errors. @default 'maxBytes' */
  readonly limitName?: string | undefined;
  /** Where the temp file is made. @default os.tmpdir() */
  readonly directory?: string | undefined;
}

/** Options of `streamSource`. */
export interface StreamSourceOptions extends SpoolOptions {
  /** For servers that want a name; a stream has none of its own. */
  readonly name?: string | undefined;
}

const OPTION_NAMES: OptionNames<StreamSourceOptions> = {
  name: true,
  maxBytes: true,
  limitName: true,
  directory: true,
};

/**
 * A stream of bytes, stored in a temp file first: the protocol needs the length before the content.
 *
 * The stream belongs to the source from here on: it waits until the upload starts, and is destroyed
 * when the upload cannot use it. Others who listen to it or pipe it, from the same turn on or later,
 * get every byte as well, and the slowest sets the pace; a stream that was read before is refused. Of
 * an iterator the chunks that it still has are uploaded.
 *
 * The temp file stays until `dispose`, or until the source is garbage, so that an upload that failed, or
 * was suspended while the stream was being stored, can be resumed. Streams of strings or objects are
 * refused when such a chunk arrives.
 * @throws BITS_ERR_ARGUMENT for a stream that was read, is locked or closed, or belongs to another
 *   upload, and for a `maxBytes` that is not a positive integer
 */
export function streamSource(stream: StreamInput, options: StreamSourceOptions = {}): ByteSource {
  const given = callOptions('streamSource', options, OPTION_NAMES);
  const { maxBytes = DEFAULT_SPOOL_MAX_BYTES, limitName = 'maxBytes' } = given;
  const isLimit = Number.isSafeInteger(maxBytes) && maxBytes >= 1;
  mustBe(isLimit, 'maxBytes of a source stream', 'a positive integer');
  const name = text('name', given.name);
  const directory = text('directory', given.directory);
  const feed = chunkFeed(stream);
  /** One that was paused may still be writing when the next one comes. */
  const mutex = new Mutex();
  let stored: StoredStream | undefined;
  let isStoring = false;
  let isLost = false;
  let isDisposed = false;

  function assertUsable(): void {
    if (stored?.isInUse) throw new BitsStateError('Another upload reads the source stream.');
    if (!isDisposed && !isLost) return;
    throw new BitsStateError(
      isDisposed
        ? 'The source stream belongs to an upload that has ended: start a new job with a new stream.'
        : 'The source stream was read in part before the upload was stopped: start a new job with a new stream.',
    );
  }

  async function store(signal?: AbortSignal, onSpooled?: (bytes: number) => void) {
    isStoring = true;
    try {
      stored ??= new StoredStream(feed, await createSpoolFile(directory));
      await stored.fill({ maxBytes, limitName }, signal, onSpooled);
      if (!isDisposed) return stored;
      throw new BitsStateError('The source stream was disposed of while it was being read.');
    } catch (error) {
      const isPause = isPaused(signal) && error === signal?.reason;
      isLost = isDisposed || !isPause;
      if (isLost) await giveUp();
      throw error;
    } finally {
      isStoring = false;
    }
  }

  async function giveUp(): Promise<void> {
    if (!stored?.isComplete) feed.stop();
    await stored?.remove();
    stored = undefined;
  }

  return {
    name,
    async open(signal, onSpooled) {
      throwIfAborted(signal);
      // Not with the signal, with which the stream is given up below.
      const release = await mutex.acquire(undefined);
      try {
        assertUsable();
        return (await store(signal, onSpooled)).open();
      } finally {
        release();
      }
    },
    async dispose() {
      // An upload that was refused the stream must not take it from the one that reads it.
      if (stored?.isInUse) return;
      isDisposed = true;
      // While it is being stored, open() finds out at its end.
      if (!isStoring) await giveUp();
    },
  };
}

/** Removes the temp files whose sources are garbage. */
const abandoned = new FinalizationRegistry<SpoolFile>((spool) => {
  spool.remove().catch(() => {});
});

interface Limit {
  readonly maxBytes: number;
  readonly limitName: string;
}

/** What there is of a stream in its temp file. */
class StoredStream {
  isInUse = false;
  readonly #spool: SpoolFile;
  readonly #feed: ChunkFeed;
  /** Until all is stored. */
  #gathered: GatheredWrites | undefined;
  /** Asked for and not stored yet: a pause must not lose it. */
  #next: Promise<Uint8Array | undefined> | undefined;
  #byteLength = 0;

  constructor(feed: ChunkFeed, spool: SpoolFile) {
    this.#feed = feed;
    this.#spool = spool;
    this.#gathered = new GatheredWrites(spool);
    abandoned.register(this, spool, this);
  }

  get isComplete(): boolean {
    return this.#gathered === undefined;
  }

  /** Stores what is left of the stream. */
  async fill(
    { maxBytes, limitName }: Limit,
    signal: AbortSignal | undefined,
    onSpooled: (bytes: number) => void = () => {},
  ): Promise<void> {
    while (this.#gathered !== undefined) {
      const gathered = this.#gathered;
      this.#next ??= nextBytes(this.#feed);
      const bytes = await unlessAborted(this.#next, signal);
      this.#next = undefined;
      if (bytes === undefined) {
        this.#byteLength = await gathered.end();
        this.#gathered = undefined;
        return;
      }
      if (gathered.byteLength + bytes.byteLength > maxBytes)
        throw new BitsArgumentError(
          `The source stream is longer than ${limitName} (${maxBytes}): raise it, or upload a file.`,
        );
      await gathered.write(bytes);
      onSpooled(gathered.byteLength);
    }
  }

  open(): OpenSource {
    const byteLength = this.#byteLength;
    const blocks = new FileBlocks(this.#spool.handle, byteLength);
    this.isInUse = true;
    return new BlockSource({
      byteLength,
      load: async (start, end, slot) => {
        const bytes = await blocks.load(start, end, slot);
        if (bytes.length === end - start) return bytes;
        throw new BitsError('BITS_ERR_SOURCE', 'The temp file of the source stream was truncated.');
      },
      // Nobody else can reach the temp file.
      async verify() {},
      release: async () => {
        this.isInUse = false;
        blocks.free();
      },
    });
  }

  async remove(): Promise<void> {
    abandoned.unregister(this);
    await this.#spool.remove();
  }
}
