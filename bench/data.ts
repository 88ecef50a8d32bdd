import { randomBytes } from 'node:crypto';
import { link, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** The files to upload, in a directory that is removed afterwards. */
export class BenchFiles {
  readonly #directory: string;

  static async create(): Promise<BenchFiles> {
    return new BenchFiles(await mkdtemp(join(tmpdir(), 'bits-upload-bench-')));
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Random bytes, so that nothing on the way can make them fewer. */
  async random(bytes: number): Promise<string> {
    const path = join(this.#directory, `random-${bytes}`);
    const block = randomBytes(Math.min(bytes, 16 * MIB));
    const handle = await open(path, 'w');
    for (let left = bytes; left > 0; left -= block.length) {
      await handle.write(block, 0, Math.min(left, block.length));
    }
    await handle.close();
    return path;
  }

  /** A directory of files of random bytes. */
  async tree(files: number, bytes: number): Promise<string> {
    const directory = join(this.#directory, `tree-${files}-${bytes}`);
    await mkdir(directory);
    const content = randomBytes(bytes);
    for (let index = 0; index < files; index++) {
      await writeFile(join(directory, `file-${index}.bin`), content);
    }
    return directory;
  }

  /** A directory of so many names of one file. */
  async links(files: number, file: string): Promise<string> {
    const directory = `${file}-links-${files}`;
    await mkdir(directory);
    for (let index = 0; index < files; index++) {
      await link(file, join(directory, `file-${index}.bin`));
    }
    return directory;
  }

  /** A file that is large and takes no place on the disk. */
  async sparse(bytes: number): Promise<string> {
    const path = join(this.#directory, `sparse-${bytes}`);
    await writeFile(path, '');
    const handle = await open(path, 'r+');
    await handle.truncate(bytes);
    await handle.close();
    return path;
  }

  async remove(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
