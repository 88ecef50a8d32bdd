import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { codeOf } from '../../common/error-like.js';
import type { StreamInput } from '../../index.js';
import { UsageError } from '../values.js';
import { type FoundFile, isUnchanged } from './file-stamp.js';

const CHANGED = 'it has changed since';

/**
 * Removes a file that is still the one that was uploaded.
 * @returns why it was not removed; undefined when it was
 */
export async function removeFile({ path, stamp }: FoundFile): Promise<string | undefined> {
  try {
    if (await hasChanged({ path, stamp })) return CHANGED;
    await unlink(path);
    return undefined;
  } catch (error) {
    return `it cannot be removed (${codeOf(error)})`;
  }
}

const STOPPED = 'the command was stopped';

/**
 * The digest of a file that is still the one that was uploaded.
 * @returns why there is none, if there is none
 */
export async function digestFile(
  file: FoundFile,
  signal: AbortSignal | undefined,
): Promise<{ readonly sha256: string } | { readonly why: string }> {
  // A stream whose signal is aborted already would leave the file open.
  if (signal?.aborted) return { why: STOPPED };
  try {
    const hash = createHash('sha256');
    const options = { highWaterMark: 1024 * 1024, signal };
    for await (const chunk of createReadStream(file.path, options)) hash.update(chunk as Buffer);
    if (await hasChanged(file)) return { why: CHANGED };
    return { sha256: hash.digest('hex') };
  } catch (error) {
    if (signal?.aborted) return { why: STOPPED };
    return { why: `it cannot be read (${codeOf(error)})` };
  }
}

async function hasChanged({ path, stamp }: FoundFile): Promise<boolean> {
  return !isUnchanged(stamp, await stat(path, { bigint: true }));
}

/** A stream, and the digest of what was read of it. */
export function withDigest(stream: AsyncIterable<Uint8Array>): {
  readonly stream: StreamInput;
  readonly sha256: () => string;
} {
  const hash = createHash('sha256');
  async function* read(): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      hash.update(chunk);
      yield chunk;
    }
  }
  return { stream: read(), sha256: () => hash.copy().digest('hex') };
}

const NO_NAME = process.platform === 'win32' ? /^\.{0,2}$|[\0/\\:]/ : /^\.{0,2}$|[\0/]/;

/** The directory of `--reply-dir`, in which each reply has the path that its file has below the URL. */
export class ReplyDirectory {
  readonly #root: string;
  readonly #made = new Set<string>();

  constructor(directory: string) {
    this.#root = resolve(directory);
  }

  /**
   * Makes the directories for a reply.
   * @throws UsageError for names and links that would lead elsewhere, and what cannot be made
   */
  async fileFor(segments: readonly string[]): Promise<string> {
    const strange = segments.find((name) => NO_NAME.test(name));
    if (strange !== undefined || segments.length === 0) {
      const name = JSON.stringify(strange ?? '');
      throw new UsageError(`--reply-dir has no place for the name ${name}: use --reply-file`);
    }
    let path = this.#root;
    await this.#make(path, { recursive: true });
    for (const name of segments.slice(0, -1)) {
      path = join(path, name);
      await this.#make(path);
    }
    return join(path, segments.at(-1) ?? '');
  }

  async #make(path: string, options?: { readonly recursive: true }): Promise<void> {
    if (this.#made.has(path)) return;
    try {
      await mkdir(path, options);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') {
        throw new UsageError(`--reply-dir: ${path} cannot be made (${codeOf(error)})`);
      }
      // A link may lead anywhere.
      if (!(await lstat(path)).isDirectory()) {
        throw new UsageError(
          `--reply-dir: ${path} is a link or a file: move it away, or give another directory`,
        );
      }
    }
    this.#made.add(path);
  }
}
