import { randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BitsArgumentError } from '../errors.js';

/** A temp file of this process alone. */
export interface SpoolFile {
  readonly handle: FileHandle;
  readonly directory: string;
  /** Closes the handle; the file is gone then. */
  remove(): Promise<void>;
}

/**
 * Creates a temp file that only this user can read and that leaves nothing behind.
 *
 * Its name is removed as soon as it is open, and the system frees its space when the handle closes,
 * however the process ends. Where the system refuses that, the name is removed on `remove` and when
 * the process exits.
 * @param unlink for tests.
 * @throws BITS_ERR_ARGUMENT when the directory takes no new file.
 */
export async function createSpoolFile(
  directory: string = tmpdir(),
  unlink: (path: string) => void = unlinkSync,
): Promise<SpoolFile> {
  const path = join(directory, `bits-upload-${process.pid}-${randomUUID()}.spool`);
  const handle = await openNew(path, directory);
  const unnamed = tryTo(() => unlink(path));
  if (!unnamed) removeAtExit(path);
  return {
    handle,
    directory,
    async remove() {
      await handle.close();
      if (unnamed || !tryTo(() => unlink(path))) return;
      forget(path);
    },
  };
}

async function openNew(path: string, directory: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+', 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BitsArgumentError(
      `Cannot create a temp file in ${directory} (${code}): ` +
        `a source stream is stored there first; ${elsewhere(directory)} that can be written to.`,
      { cause },
    );
  }
}

/** How to have streams stored in another directory. */
export function elsewhere(directory: string): string {
  if (directory !== tmpdir()) return 'name a directory';
  return `set ${process.platform === 'win32' ? 'TEMP' : 'TMPDIR'} to a directory`;
}

const namedFiles = new Set<string>();

function removeAtExit(path: string): void {
  if (namedFiles.size === 0) process.on('exit', removeNamedFiles);
  namedFiles.add(path);
}

function forget(path: string): void {
  namedFiles.delete(path);
  if (namedFiles.size === 0) process.off('exit', removeNamedFiles);
}

function removeNamedFiles(): void {
  for (const path of namedFiles) tryTo(() => unlinkSync(path));
}

function tryTo(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
