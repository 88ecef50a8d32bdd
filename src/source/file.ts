import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { throwIfAborted } from '../common/abort.js';
import { BitsArgumentError, BitsError, isBitsError } from '../errors.js';
import { BlockSource } from './block-source.js';
import { FileBlocks } from './file-blocks.js';
import type { ByteSource, OpenSource, SourceIdentity } from './source.js';

/**
 * A regular file of this machine, read through one descriptor.
 *
 * What counts is the file that was opened: one that is appended to, cut or written to during the
 * upload ends it, while one that is replaced (as editors save, by renaming another over it) does
 * not: the descriptor still reads the old content, which is whole. The
 * {@link OpenSource.identity} tells the two apart when the path is opened again after a restart.
 * @throws BITS_ERR_ARGUMENT for an empty path
 */
export function fileSource(path: string): ByteSource {
  if (path === '') throw new BitsArgumentError('The path of the source file is empty.');
  // Now rather than on opening: the working directory may be another by then.
  const absolutePath = resolve(path);
  return {
    name: basename(absolutePath),
    open: (signal) => openFile(absolutePath, signal),
  };
}

async function openFile(path: string, signal: AbortSignal | undefined): Promise<OpenSource> {
  throwIfAborted(signal);
  const handle = await openRegular(path, OPEN_FLAGS);
  try {
    const stats = await handle.stat({ bigint: true });
    assertRegular(path, stats);
    if (stats.size === 0n) await assertEmpty(path, handle);
    throwIfAborted(signal);
    return opened(path, handle, stats);
  } catch (error) {
    await handle.close();
    throw readingFailed(path, error);
  }
}

/** Opening a FIFO would wait for its writer; Windows knows neither the flag nor such files. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

async function openRegular(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    await assertNotIrregular(path);
    // Another program gives up its lease on the file only to somebody who waits for that.
    const isLeased = (error as NodeJS.ErrnoException).code === 'EAGAIN';
    if (isLeased && flags !== constants.O_RDONLY) return openRegular(path, constants.O_RDONLY);
    throw cannotOpen(path, error);
  }
}

/** What cannot be opened may be no file at all, which explains more than the system's error. */
async function assertNotIrregular(path: string): Promise<void> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  if (stats !== undefined) assertRegular(path, stats);
}

function assertRegular(path: string, stats: BigIntStats): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory() ? 'a directory' : kindOf(stats);
  throw new BitsArgumentError(`The source ${path} is ${what}, not a regular file.`);
}

/** Files that the system makes up while they are read, as those of /proc, have a size of 0. */
async function assertEmpty(path: string, handle: FileHandle): Promise<void> {
  const { bytesRead } = await handle.read(new Uint8Array(1), 0, 1, 0);
  if (bytesRead === 0) return;
  throw new BitsArgumentError(
    `The size of ${path} is not known before it is read: open it and pass the stream.`,
  );
}

function kindOf(stats: BigIntStats): string {
  if (stats.isFIFO()) return 'a FIFO (open it and pass the stream)';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function cannotOpen(path: string, cause: unknown): BitsError {
  const code = (cause as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new BitsArgumentError(`There is no file ${path}: check the path.`, { cause });
    case 'EACCES':
    case 'EPERM':
      return new BitsArgumentError(
        `No permission to read ${path}: check the rights on the file and on its directories.`,
        { cause },
      );
    case 'ERR_INVALID_ARG_VALUE':
    case 'ENAMETOOLONG':
    case 'ELOOP':
      return new BitsArgumentError(`The path ${JSON.stringify(path)} is not valid (${code}).`, {
        cause,
      });
    default:
      // Such as EBUSY (another program on Windows has it locked) and EMFILE: both may pass.
      return new BitsError('BITS_ERR_SOURCE', `Cannot open ${path} (${code}).`, {
        retryable: true,
        cause,
      });
  }
}

function opened(path: string, handle: FileHandle, stats: BigIntStats): OpenSource {
  const byteLength = Number(stats.size);
  const identity: SourceIdentity = {
    path,
    byteLength,
    mtimeNs: String(stats.mtimeNs),
    inode: String(stats.ino),
  };
  const blocks = new FileBlocks(handle, byteLength);
  const reading = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw readingFailed(path, error);
    }
  };
  const assertUnchanged = async () => {
    const changes = changesBetween(stats, await handle.stat({ bigint: true }));
    if (changes.length > 0) throw changed(path, changes.join(', '));
  };
  return new BlockSource({
    byteLength,
    identity,
    verify: () => reading(assertUnchanged),
    load: (start, end, slot) =>
      reading(async () => {
        const bytes = await blocks.load(start, end, slot);
        if (bytes.length === end - start) return bytes;
        await assertUnchanged();
        throw changed(path, `it ends at ${start + bytes.length}`);
      }),
    async release() {
      blocks.free();
      await handle.close();
    },
  });
}

function changesBetween(before: BigIntStats, now: BigIntStats): string[] {
  const changes: string[] = [];
  if (now.size !== before.size) changes.push(`size ${before.size} to ${now.size} bytes`);
  if (now.mtimeNs !== before.mtimeNs)
    changes.push(`modification time ${before.mtime.toISOString()} to ${now.mtime.toISOString()}`);
  if (now.ino !== before.ino) changes.push(`inode ${before.ino} to ${now.ino}`);
  return changes;
}

function changed(path: string, what: string): BitsError {
  return new BitsError(
    'BITS_ERR_SOURCE_CHANGED',
    `The file ${path} changed during the upload (${what}): ` +
      'upload it again when nothing writes to it (0x8020001D BG_E_LOCAL_FILE_CHANGED).',
  );
}

function readingFailed(path: string, cause: unknown): BitsError {
  if (isBitsError(cause)) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  return new BitsError('BITS_ERR_SOURCE', `Cannot read ${path} (${code}).`, { cause });
}
