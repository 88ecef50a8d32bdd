import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, readlink, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { throwIfAborted } from '../common/abort.js';
import { mustBe } from '../common/check-options.js';
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
 * @throws BITS_ERR_ARGUMENT for what is no path
 */
export function fileSource(path: string): ByteSource {
  return sourceAt(path, OPEN_FLAGS);
}

/** Refuses a file by throwing; `opened` is undefined when nothing could be opened. */
export type FileCheck = (opened: BigIntStats | undefined) => Promise<void>;

/**
 * As {@link fileSource}, of a file that is no symbolic link as far as the system can ensure it.
 * @param check called whenever the file is opened, before any of it is read
 */
export function checkedFileSource(path: string, check: FileCheck): ByteSource {
  return sourceAt(path, OPEN_FLAGS | NO_FOLLOW, check);
}

function sourceAt(path: string, flags: number, check?: FileCheck): ByteSource {
  mustBe(typeof path === 'string', 'path', 'a string');
  if (path === '') throw new BitsArgumentError('The path of the source file is empty.');
  // Now rather than on opening: the working directory may be another by then.
  const absolutePath = resolve(path);
  return {
    name: basename(absolutePath),
    open: (signal) => openFile(absolutePath, flags, check, signal),
  };
}

async function openFile(
  path: string,
  flags: number,
  check: FileCheck | undefined,
  signal: AbortSignal | undefined,
): Promise<OpenSource> {
  throwIfAborted(signal);
  const handle = await openRegular(path, flags, check);
  try {
    const stats = await handle.stat({ bigint: true });
    await check?.(stats);
    assertRegular(path, stats);
    if (stats.size === 0n) await assertEmpty(path, handle);
    throwIfAborted(signal);
    return opened(path, handle, stats);
  } catch (error) {
    await handle.close();
    throw readingFailed(path, error);
  }
}

/** Opening a FIFO would wait for its writer; Windows knows neither the flags nor such files. */
const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW: NO_FOLLOW = 0 } = constants;
const OPEN_FLAGS = O_RDONLY | O_NONBLOCK;

async function openRegular(
  path: string,
  flags: number,
  check: FileCheck | undefined,
): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    await check?.(undefined);
    await assertNotIrregular(path);
    // Another program gives up its lease on the file only to somebody who waits for that.
    const isLeased = (error as NodeJS.ErrnoException).code === 'EAGAIN';
    const waiting = flags & ~O_NONBLOCK;
    if (isLeased && flags !== waiting) return openRegular(path, waiting, check);
    throw await cannotOpen(path, error);
  }
}

/** What cannot be opened may be no file at all, which explains more than the system's error. */
async function assertNotIrregular(path: string): Promise<void> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  if (stats !== undefined) assertRegular(path, stats);
}

function assertRegular(path: string, stats: BigIntStats): void {
  if (stats.isFile()) return;
  throw new BitsArgumentError(`The source ${path} is ${kindOf(stats)}.`);
}

function kindOf(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory, not a regular file: upload the files in it';
  if (stats.isFIFO()) return 'a FIFO, not a regular file: upload it as a stream';
  if (stats.isSocket()) return 'a socket, not a regular file: connect to it and upload the stream';
  return 'a device, not a regular file: upload it as a stream';
}

/** Files that the system makes up while they are read, as those of /proc, have a size of 0. */
async function assertEmpty(path: string, handle: FileHandle): Promise<void> {
  const { bytesRead } = await handle.read(new Uint8Array(1), 0, 1, 0);
  if (bytesRead === 0) return;
  throw new BitsArgumentError(
    `The size of ${path} is not known before it is read: upload it as a stream.`,
  );
}

async function cannotOpen(path: string, cause: unknown): Promise<BitsError> {
  const { code } = cause as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return new BitsArgumentError(await whyMissing(path), { cause });
    case 'ENOTDIR':
      return new BitsArgumentError(
        `There is no file ${path}, because a part of its path is not a directory: check the path.`,
        { cause },
      );
    case 'ELOOP':
      return new BitsArgumentError(
        `There are too many symbolic links in ${path}: check whether they form a circle.`,
        { cause },
      );
    case 'EACCES':
    case 'EPERM':
      return new BitsArgumentError(
        `No permission to read ${path}: check the rights on the file and on its directories.`,
        { cause },
      );
    case 'ERR_INVALID_ARG_VALUE':
    case 'ENAMETOOLONG':
      return new BitsArgumentError(`The path ${JSON.stringify(path)} is not valid (${code}).`, {
        cause,
      });
    case 'EBUSY':
      return new BitsError(
        'BITS_ERR_SOURCE',
        `Cannot open ${path}, because another program has locked it (EBUSY): close it there.`,
        { retryable: true, cause },
      );
    case 'EMFILE':
    case 'ENFILE':
      return new BitsError(
        'BITS_ERR_SOURCE',
        `Cannot open ${path}, because too many files are open (${code}): upload fewer files at once, or ` +
          'raise the limit of open files (ulimit -n).',
        { retryable: true, cause },
      );
    default:
      return new BitsError('BITS_ERR_SOURCE', `Cannot open ${path} (${code}).`, {
        retryable: true,
        cause,
      });
  }
}

async function whyMissing(path: string): Promise<string> {
  const target = await readlink(path).catch(() => undefined);
  if (target !== undefined)
    return `${path} is a symbolic link to ${target}, which does not exist: correct the link.`;
  // What Node puts in place of bytes that are not UTF-8, and cannot turn back into them.
  if (path.includes('\ufffd'))
    return `There is no file ${path}. Its name may hold bytes that are not UTF-8: rename the file.`;
  return `There is no file ${path}: check the path.`;
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

/** Not the inode: network file systems may give an open file another one. */
function changesBetween(before: BigIntStats, now: BigIntStats): string[] {
  const changes: string[] = [];
  if (now.size !== before.size) changes.push(`size ${before.size} to ${now.size} bytes`);
  if (now.mtimeNs !== before.mtimeNs)
    changes.push(`modification time ${before.mtime.toISOString()} to ${now.mtime.toISOString()}`);
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
