import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import * as nodeFs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, unlessMissing } from '../common/error-like.js';
import { whenFree } from '../common/when-free.js';
import { BitsArgumentError } from '../errors.js';
import { isSameFile, type ReplyFileSystem } from './file-system.js';
import { partPath, removePart, secondName } from './part-file.js';

/** A file that a job's reply goes to. */
export interface ReplyFile {
  /** Job id: another process finds the part file by it. */
  readonly id: string;
  /** Absolute path. */
  readonly path: string;
  readonly overwrite: boolean;
}

/**
 * Checks, before anything is sent, that a reply can be stored there.
 * @throws BITS_ERR_ARGUMENT when the directory is missing or closed to this user, the target exists
 * and may not be overwritten, or it is not a regular file.
 */
export async function checkReplyFile({ id, path, overwrite }: ReplyFile): Promise<void> {
  const directory = dirname(path);
  const parent = await nodeFs.stat(directory).catch((cause) => {
    throw unusable(`the directory ${directory} cannot be reached (${codeOf(cause)})`, cause);
  });
  if (!parent.isDirectory()) throw unusable(`${directory} is not a directory`);
  await nodeFs.access(directory, constants.W_OK | constants.X_OK).catch((cause) => {
    throw unusable(`the directory ${directory} cannot be written to (${codeOf(cause)})`, cause);
  });

  const present = await unlessMissing(nodeFs.lstat(path)).catch((cause) => {
    throw unusable(`${path} cannot be reached (${codeOf(cause)})`, cause);
  });
  if (present === undefined) return;
  if (!present.isFile() && !present.isSymbolicLink()) {
    throw unusable(`${path} is not a regular file`);
  }
  if (overwrite || (await isSameFile(nodeFs, partPath(id, path), path))) return;
  throw unusable(`${path} exists; give overwrite: true to replace it`);
}

function unusable(why: string, cause?: unknown): BitsArgumentError {
  return new BitsArgumentError(`The reply cannot be stored: ${why}`, { cause });
}

/** The permissions of the file that is replaced, else those of any new file in that directory. */
export async function modeFor(
  { path }: Pick<ReplyFile, 'path'>,
  fs: ReplyFileSystem,
): Promise<number | undefined> {
  // Windows has no such permissions.
  if (process.geteuid === undefined) return undefined;
  const replaced = await unlessMissing(fs.lstat(path));
  if (replaced?.isFile()) return replaced.mode & 0o777;
  // Only the system knows umask and access lists: asking for the umask changes it for a moment.
  const probe = join(dirname(path), `.bits-reply-${randomUUID()}.tmp`);
  const handle = await fs.open(probe, 'wx', 0o666);
  try {
    return (await handle.stat()).mode & 0o777;
  } finally {
    await handle.close();
    await fs.unlink(probe);
  }
}

/** Gives the whole reply in a part file the target's name, in one step. */
export async function putInPlace(
  part: string,
  { path, overwrite }: Pick<ReplyFile, 'path' | 'overwrite'>,
  fs: ReplyFileSystem,
): Promise<void> {
  if (overwrite) return replaceTarget(part, path, fs);
  try {
    await fs.link(part, path);
  } catch {
    // Whatever stood in the way, a file of that name included, stands in the way here too.
    await reserveAndRename(part, path, fs);
  }
}

/** By a second name, so that the part file still proves to a later process whose reply it is. */
async function replaceTarget(part: string, path: string, fs: ReplyFileSystem): Promise<void> {
  const second = secondName(part);
  try {
    await fs.unlink(second).catch(() => {});
    await fs.link(part, second);
  } catch {
    // Some file systems have no hard links.
    await whenFree(() => fs.rename(part, path));
    return;
  }
  try {
    await whenFree(() => fs.rename(second, path));
  } catch (error) {
    await fs.unlink(second).catch(() => {});
    throw error;
  }
}

/** For file systems without hard links: only the one who created the empty file may replace it. */
async function reserveAndRename(part: string, path: string, fs: ReplyFileSystem): Promise<void> {
  const reserved = await fs.open(path, 'wx');
  await reserved.close();
  try {
    await assertEmpty(path, fs);
    await fs.rename(part, path);
  } catch (error) {
    await assertEmpty(path, fs).then(
      () => fs.unlink(path),
      () => {},
    );
    throw error;
  }
}

/** @throws EEXIST when somebody has written to it, or put another file there */
async function assertEmpty(path: string, fs: ReplyFileSystem): Promise<void> {
  const { size } = await fs.lstat(path);
  if (size > 0) throw Object.assign(new Error(`${path} is in use`), { code: 'EEXIST' });
}

/**
 * Removes what a job has stored of a reply that no longer counts; a file that may be overwritten stays
 * until the new reply replaces it.
 * @param stored whether this process has put the reply in place; else only a file that is proven to
 *   be the job's is removed
 */
export async function discardReplyFile(
  { id, path, overwrite }: ReplyFile,
  stored: boolean,
): Promise<void> {
  const part = partPath(id, path);
  // What cannot be removed is found to be in the way when the new reply comes.
  const isOurs = await isSameFile(nodeFs, part, path).catch(() => false);
  if (!overwrite && (isOurs || stored)) await nodeFs.unlink(path).catch(() => {});
  await removePart(nodeFs, part);
}

/** Removes the part file of a job whose reply goes elsewhere now; a reply in its place stays. */
export async function discardReplyPart({
  id,
  path,
}: Pick<ReplyFile, 'id' | 'path'>): Promise<void> {
  await removePart(nodeFs, partPath(id, path));
}
