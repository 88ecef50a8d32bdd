import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  realpath,
  rename,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { BitsStateError } from '../errors.js';
import { NO_FOLLOW } from './paths.js';

/**
 * What becomes of uploaded bytes.
 *
 * - `disk`: a file under the root.
 * - `sha256`: only their hash is kept; for huge uploads.
 * - `discard`: they are only counted; for benchmarks.
 */
export type SinkKind = 'disk' | 'sha256' | 'discard';

/** Receives the bytes of one upload, in order. */
export interface UploadSink {
  /** Nothing stays open between two writers: a client may leave any number of uploads unfinished. */
  openWriter(): Promise<SinkWriter>;
  /** @throws BITS_ERR_STATE when no bytes are kept. */
  truncate(bytes: number): Promise<void>;
  /** Of all bytes so far, in lower-case hexadecimal; undefined for other sinks. */
  sha256(): string | undefined;
  /** @throws BITS_ERR_STATE when no bytes are kept. */
  open(): Readable;
  /** Moves the upload to its final name, atomically. */
  publish(file: string, overwrite: boolean): Promise<void>;
}

export interface SinkWriter {
  append(chunks: readonly Buffer[]): Promise<void>;
  close(): Promise<void>;
}

/** @param folder an existing folder of the upload's own, in the file system of the final name. */
export async function createSink(kind: SinkKind, folder: string): Promise<UploadSink> {
  switch (kind) {
    case 'disk': {
      const part = path.join(folder, 'upload.part');
      await writeFile(part, '', { flag: 'wx' });
      return new DiskSink(part);
    }
    case 'sha256':
      return new UnkeptSink(createHash('sha256'));
    case 'discard':
      return new UnkeptSink();
  }
}

class DiskSink implements UploadSink {
  #file: string;
  #position = 0;

  constructor(file: string) {
    this.#file = file;
  }

  async openWriter(): Promise<SinkWriter> {
    const handle = await open(this.#file, constants.O_WRONLY | NO_FOLLOW);
    return {
      append: async (chunks) => {
        let rest = chunks;
        while (rest.length > 0) {
          const { bytesWritten } = await handle.writev(rest, this.#position);
          this.#position += bytesWritten;
          rest = without(rest, bytesWritten);
        }
      },
      close: () => handle.close(),
    };
  }

  async truncate(bytes: number): Promise<void> {
    await truncate(this.#file, bytes);
    this.#position = bytes;
  }

  sha256(): undefined {
    return undefined;
  }

  open(): Readable {
    return createReadStream(this.#file);
  }

  async publish(file: string, overwrite: boolean): Promise<void> {
    const directory = path.dirname(file);
    await mkdir(directory, { recursive: true });
    if ((await realpath(directory)) !== directory) {
      throw Object.assign(new Error('A link replaced a directory'), { code: 'EACCES' });
    }
    if (overwrite || !(await linkNew(this.#file, file))) await rename(this.#file, file);
    this.#file = file;
  }
}

/** Counts bytes, or hashes them. */
class UnkeptSink implements UploadSink {
  readonly #hash: Hash | undefined;

  constructor(hash?: Hash) {
    this.#hash = hash;
  }

  async openWriter(): Promise<SinkWriter> {
    return {
      append: async (chunks) => {
        for (const chunk of chunks) this.#hash?.update(chunk);
      },
      close: async () => {},
    };
  }

  sha256(): string | undefined {
    return this.#hash?.copy().digest('hex');
  }

  async truncate(): Promise<void> {
    throw notKept();
  }

  open(): Readable {
    throw notKept();
  }

  async publish(): Promise<void> {}
}

function notKept(): BitsStateError {
  return new BitsStateError("This server does not keep uploaded bytes: set `sink` to 'disk'");
}

/** What remains of `chunks` after so many bytes. */
function without(chunks: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes;
  const rest: Buffer[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}

/**
 * Moves a file to a name that is not in use: of all moves, only a hard link cannot overwrite.
 *
 * @returns false when the file system has no hard links and the name is free.
 */
async function linkNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'ENOSYS') {
      throw error;
    }
    const taken = await lstat(to).catch(() => undefined);
    if (taken !== undefined) {
      throw Object.assign(new Error('The name is in use'), { code: 'EEXIST' });
    }
    return false;
  }
  await unlink(from);
  return true;
}
