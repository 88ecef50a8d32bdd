import { throwIfAborted, unlessAborted } from '../common/abort.js';
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

/**
 * A stream of bytes, stored in a temp file first: the protocol needs the length before the content.
 *
 * The stream belongs to the source from here on: it waits until the upload starts, and is destroyed
 * when the upload cannot use it. Others who listen to it or pipe it, from the same turn on or later,
 * get every byte as well, and the slowest sets the pace; a stream that was read before is refused. Of
 * an iterator the chunks that it still has are uploaded.
 *
 * The temp file stays until `dispose`, or until the source is garbage, so that an upload that failed
 * can be resumed. Streams of strings or objects are refused when such a chunk arrives.
 * @throws BITS_ERR_ARGUMENT for a stream that was read, is locked or closed, or belongs to another
 *   upload, and for a `maxBytes` that is not a positive integer
 */
export function streamSource(stream: StreamInput, options: StreamSourceOptions = {}): ByteSource {
  const { maxBytes = DEFAULT_SPOOL_MAX_BYTES, limitName = 'maxBytes' } = options;
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1)
    throw new BitsArgumentError('maxBytes of a source stream must be a positive integer.');
  const feed = chunkFeed(stream);
  let isRead = false;
  let isDisposed = false;
  let spooled: Spooled | undefined;
  return {
    name: options.name,
    async open(signal, onSpooled) {
      throwIfAborted(signal);
      if (spooled !== undefined) {
        if (spooled.isInUse) throw new BitsStateError('Another upload reads the source stream.');
        return openSpooled(spooled);
      }
      if (isRead) {
        throw new BitsStateError(
          isDisposed
            ? 'The source stream belongs to an upload that has ended: start a new job with a new stream.'
            : 'The source stream was read in part before the upload was stopped: start a new job with a new stream.',
        );
      }
      isRead = true;
      try {
        const spool = await createSpoolFile(options.directory);
        const stored = await spoolOf(feed, spool, { maxBytes, limitName }, signal, onSpooled);
        if (isDisposed) {
          await spool.remove();
          throw new BitsStateError('The source stream was disposed of while it was being read.');
        }
        spooled = stored;
        abandoned.register(stored, spool, stored);
        return openSpooled(spooled);
      } catch (error) {
        feed.stop();
        throw error;
      }
    },
    async dispose() {
      isDisposed = true;
      if (!isRead) feed.stop();
      isRead = true;
      // An upload that was refused the stream must not take it from the one that reads it.
      if (spooled === undefined || spooled.isInUse) return;
      abandoned.unregister(spooled);
      await spooled.spool.remove();
      spooled = undefined;
    },
  };
}

/** Removes the temp files whose sources are garbage. */
const abandoned = new FinalizationRegistry<SpoolFile>((spool) => {
  spool.remove().catch(() => {});
});

interface Spooled {
  readonly spool: SpoolFile;
  readonly byteLength: number;
  isInUse: boolean;
}

interface Limit {
  readonly maxBytes: number;
  readonly limitName: string;
}

async function spoolOf(
  feed: ChunkFeed,
  spool: SpoolFile,
  limit: Limit,
  signal: AbortSignal | undefined,
  onSpooled: (bytes: number) => void = () => {},
): Promise<Spooled> {
  try {
    const byteLength = await store(feed, spool, limit, signal, onSpooled);
    return { spool, byteLength, isInUse: false };
  } catch (error) {
    await spool.remove();
    throw error;
  }
}

function openSpooled(spooled: Spooled): OpenSource {
  const { byteLength } = spooled;
  spooled.isInUse = true;
  const blocks = new FileBlocks(spooled.spool.handle, byteLength);
  return new BlockSource({
    byteLength,
    load: async (start, end, slot) => {
      const bytes = await blocks.load(start, end, slot);
      if (bytes.length === end - start) return bytes;
      throw new BitsError('BITS_ERR_SOURCE', 'The temp file of the source stream was truncated.');
    },
    // Nobody else can reach the temp file.
    async verify() {},
    async release() {
      spooled.isInUse = false;
      blocks.free();
    },
  });
}

async function store(
  feed: ChunkFeed,
  spool: SpoolFile,
  limit: Limit,
  signal: AbortSignal | undefined,
  onSpooled: (bytes: number) => void,
): Promise<number> {
  const { maxBytes, limitName } = limit;
  const gathered = new GatheredWrites(spool);
  for (;;) {
    const bytes = await unlessAborted(nextBytes(feed), signal);
    if (bytes === undefined) return await gathered.end();
    if (gathered.byteLength + bytes.byteLength > maxBytes)
      throw new BitsArgumentError(
        `The source stream is longer than ${limitName} (${maxBytes}): raise it, or upload a file.`,
      );
    await gathered.write(bytes);
    onSpooled(gathered.byteLength);
  }
}
