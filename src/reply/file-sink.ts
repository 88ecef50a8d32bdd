import * as nodeFs from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../common/atomic-file.js';
import { codeOf } from '../common/error-like.js';
import { BitsError, isBitsError } from '../errors.js';
import { isSameFile, type ReplyFileSystem } from './file-system.js';
import { modeFor, putInPlace, type ReplyFile } from './file-target.js';
import { PartFile, partPath, removePart } from './part-file.js';
import type { ReplySink, StoredReply } from './sink.js';

export interface ReplyFileOptions extends ReplyFile {
  readonly sha256: boolean;
  readonly fs?: ReplyFileSystem | undefined;
}

/**
 * Stores a reply in a file that appears whole or not at all.
 *
 * The whole reply in the part file takes the target's name by `rename`, or by `link` when nothing may
 * be overwritten, which cannot replace a file that appeared meanwhile. After `link` the part file
 * stays until the job ends: two names of one file tell a later process that the reply is in place,
 * even when this one dies before it could record that. A symbolic link at the target is replaced, not
 * followed. Permissions are those of the file replaced, else those of any new file.
 */
export class FileSink implements ReplySink {
  readonly #options: ReplyFileOptions;
  readonly #fs: ReplyFileSystem;
  readonly #part: PartFile;

  constructor(options: ReplyFileOptions) {
    this.#options = options;
    this.#fs = options.fs ?? nodeFs;
    this.#part = new PartFile(partPath(options.id, options.path), this.#fs, options.sha256);
  }

  get keptBytes(): number {
    return this.#part.keptBytes;
  }

  get durableBytes(): number {
    return this.#part.durableBytes;
  }

  open(keepBytes: number): Promise<StoredReply | undefined> {
    const { path, overwrite } = this.#options;
    return this.#guarded(async () => {
      if (await isSameFile(this.#fs, this.#part.path, path)) {
        // A file that may be overwritten may have been written to as well.
        const { size } = await this.#fs.stat(this.#part.path);
        if (!overwrite || size === keepBytes) {
          await syncDirectory(dirname(path));
          await this.#part.readBack();
          return this.#stored();
        }
      }
      await this.#part.open(keepBytes);
      return undefined;
    });
  }

  restart(): Promise<void> {
    return this.#guarded(() => this.#part.clear());
  }

  write(piece: Uint8Array): Promise<void> {
    return this.#guarded(() => this.#part.append(piece));
  }

  finish(): Promise<StoredReply> {
    return this.#guarded(async () => {
      await this.#part.complete(await modeFor(this.#options, this.#fs));
      await putInPlace(this.#part.path, this.#options, this.#fs);
      await syncDirectory(dirname(this.#options.path));
      return this.#stored();
    });
  }

  async release(): Promise<void> {
    await this.#part.release();
  }

  async close({ keepPartial }: { readonly keepPartial: boolean }): Promise<void> {
    await this.release();
    if (!keepPartial) await removePart(this.#fs, this.#part.path);
  }

  #stored(): StoredReply {
    const { path, sha256 } = this.#options;
    return { bytes: this.keptBytes, file: path, ...(sha256 && { sha256: this.#part.digest() }) };
  }

  async #guarded<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw isBitsError(error) ? error : fileError(this.#options.path, error);
    }
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'check the permissions',
  EDQUOT: 'the disk quota is used up: free space there',
  EEXIST: 'a file of that name appeared meanwhile: move it away, or give overwrite: true',
  EFBIG: 'the file system takes no file of that size',
  EIO: 'the disk failed: check it',
  ENOENT: 'check that the directory still exists',
  ENOSPC: 'the disk is full: free space there',
  EPERM: 'check the permissions',
  EROFS: 'the file system is read-only',
  ERR_ACCESS_DENIED:
    'Node runs with --permission: give --allow-fs-read and --allow-fs-write for it',
};

function fileError(target: string, cause: unknown): BitsError {
  const code = codeOf(cause) ?? 'no code';
  const advice = ADVICE[code] ?? 'check the disk and the directory';
  return new BitsError(
    'BITS_ERR_REPLY',
    `The reply could not be stored in ${target} (${code}): ${advice}. The session is left open, ` +
      'so that resuming fetches the reply without uploading again.',
    { cause },
  );
}
