import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { BitsArgumentError, BitsError } from '../errors.js';

/** A temp file that only this process uses. */
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
 * however the process ends. Where the system refuses that, the name is removed by `remove` and when
 * the process exits.
 * @param unlink for tests
 * @throws BITS_ERR_ARGUMENT when the directory takes no new file
 */
export async function createSpoolFile(
  directory: string = tmpdir(),
  unlink: (path: string) => void = unlinkSync,
): Promise<SpoolFile> {
  const path = resolve(directory, `bits-upload-${process.pid}-${randomUUID()}.spool`);
  const handle = await openNew(path, directory);
  const unnamed = tryTo(() => unlink(path));
  if (!unnamed) removeAtExit(path);
  const remove = async () => {
    await handle.close();
    if (unnamed || !tryTo(() => unlink(path))) return;
    forget(path);
  };
  if (await isPrivate(handle)) return { handle, directory, remove };
  await remove();
  throw new BitsArgumentError(
    `Other users might read a temp file in ${directory}, where a source stream is stored first: ` +
      `${elsewhere(directory)} whose file system keeps owners and permissions.`,
  );
}

/** Some file systems, as of shared folders, ignore the mode that a file is created with. */
async function isPrivate(handle: FileHandle): Promise<boolean> {
  if (process.geteuid === undefined) return true;
  const stats = await handle.stat().catch(() => undefined);
  return stats?.uid === process.geteuid() && (stats.mode & 0o077) === 0;
}

async function openNew(path: string, directory: string): Promise<FileHandle> {
  try {
    // 'x' fails for whatever has that name already, a symbolic link included.
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

const WRITE_BYTES = 1024 * 1024;

/** Streams give 16 to 64 KiB at once; one write to the file for each takes ten times as long. */
export class GatheredWrites {
  readonly #spool: SpoolFile;
  readonly #buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  #filled = 0;
  #stored = 0;

  constructor(spool: SpoolFile) {
    this.#spool = spool;
  }

  get byteLength(): number {
    return this.#stored + this.#filled;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let taken = 0;
    while (taken < bytes.byteLength) {
      const part = bytes.subarray(taken, taken + this.#buffer.length - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.byteLength;
      taken += part.byteLength;
      if (this.#filled === this.#buffer.length) await this.#flush();
    }
  }

  async end(): Promise<number> {
    await this.#flush();
    return this.#stored;
  }

  async #flush(): Promise<void> {
    const { handle, directory } = this.#spool;
    try {
      await handle.writeFile(this.#buffer.subarray(0, this.#filled));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const why = code === 'ENOSPC' ? 'it is full' : String(code);
      const advice = `${elsewhere(directory)} with enough space`;
      throw new BitsError(
        'BITS_ERR_SOURCE',
        `Cannot store the source stream in ${directory} (${why}): ${advice}.`,
        { cause },
      );
    }
    this.#stored += this.#filled;
    this.#filled = 0;
  }
}

/** How to choose another directory for streams. */
function elsewhere(directory: string): string {
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
