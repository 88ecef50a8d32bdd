import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type BitsServer, createBitsServer, type Fault } from '../../src/testing/index.js';
import { sha256, writePatterned } from '../support/files.js';
import type { Json } from './capture.js';
import { seededRandom } from './killing.js';
import { Spawned } from './spawned.js';

export const DEFAULT_MAX_BYTES = 2 * 1024 * 1024;

export interface TreePlan {
  readonly files: number;
  readonly maxBytes: number;
  readonly seed: number;
}

/** A tree of files, and a server that it is uploaded to, with faults all along. */
export class TreeProof {
  readonly server: BitsServer;
  /** The files by their paths in the tree. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly #directory: string;
  readonly #random: () => number;
  #onRequest: (() => void) | undefined;

  private constructor(
    directory: string,
    sizes: ReadonlyMap<string, number>,
    random: () => number,
    server: BitsServer,
  ) {
    this.#directory = directory;
    this.sizes = sizes;
    this.#random = random;
    this.server = server;
  }

  static async create({ files, maxBytes, seed }: TreePlan): Promise<TreeProof> {
    const random = seededRandom(seed);
    const directory = await mkdtemp(join(tmpdir(), 'bits-tree-proof-'));
    const sizes = new Map<string, number>();
    for (let index = 0; index < files; index++) {
      // As many from 1 KiB to 2 KiB as from 1 MiB to 2 MiB; the first two are the extremes.
      const size = index < 2 ? index * maxBytes : Math.floor(maxBytes ** random());
      const folder = ['', 'a/', 'a/b c/', 'd#/e/f/', '.g/'][Math.floor(random() * 5)];
      const path = `${folder}${index}.bin`;
      sizes.set(path, size);
      await mkdir(dirname(join(directory, 'tree', path)), { recursive: true });
      await writePatterned(join(directory, 'tree', path), size, index + 1);
    }
    const server = await createBitsServer({
      allowOverwrite: true,
      faults: faultsFor(files, random),
      onRequest: () => proof.#onRequest?.(),
    });
    const proof = new TreeProof(directory, sizes, random, server);
    return proof;
  }

  get tree(): string {
    return join(this.#directory, 'tree');
  }

  get totalBytes(): number {
    return [...this.sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  /** Makes files unreadable, and others such that the server refuses them. */
  async spoil(unreadable: number, refused: number): Promise<readonly string[]> {
    const paths = [...this.sizes.keys()].slice(2);
    const chosen: string[] = [];
    while (chosen.length < unreadable + refused) {
      const [path] = paths.splice(Math.floor(this.#random() * paths.length), 1);
      if (path === undefined) throw new Error('too few files');
      if (chosen.length >= unreadable)
        await mkdir(join(this.server.root, 'tree', path), { recursive: true });
      else if (process.getuid?.() !== 0) await chmod(join(this.tree, path), 0);
      else {
        // Nothing is unreadable for the superuser but what is not there.
        await rm(join(this.tree, path));
        await symlink('nowhere', join(this.tree, path));
      }
      chosen.push(path);
    }
    return chosen.sort();
  }

  /**
   * Runs the program until its end, or kills it after some requests.
   * @returns the objects that it printed
   */
  async run(
    killAfter?: number,
  ): Promise<{ readonly code: number | null; readonly objects: Json[] }> {
    const args = ['put', '--json', '-q', '-r', '--follow-links', '--retries=20'];
    const program = new Spawned([...args, this.tree, this.server.url], {
      state: join(this.#directory, 'state'),
      timeoutMs: 0,
    });
    let left = killAfter ?? Number.POSITIVE_INFINITY;
    this.#onRequest = () => {
      left -= 1;
      if (left === 0) program.kill('SIGKILL');
    };
    const objects: Json[] = [];
    for await (const object of program.objects()) objects.push(object);
    const { code } = await program.ended();
    this.#onRequest = undefined;
    return { code, objects };
  }

  /** The files that are not on the server as they are in the tree. */
  async wrong(paths: Iterable<string> = this.sizes.keys()): Promise<string[]> {
    const wrong: string[] = [];
    for (const path of paths) {
      const there = await digest(join(this.server.root, 'tree', path));
      if (there === undefined || there !== (await digest(join(this.tree, path)))) wrong.push(path);
    }
    return wrong;
  }

  /** The paths in the tree whose upload was begun by requests after this one of the log. */
  begunSince(position: number): Set<string> {
    const begun = this.server.log
      .slice(position)
      .filter(({ packet }) => packet === 'create-session')
      .map(({ target }) => decodeURIComponent(target).replace(/^\/tree\//, ''));
    return new Set(begun);
  }

  /** What is left of batches in the directory of the records. */
  async remembered(): Promise<string[]> {
    return readdir(join(this.#directory, 'state', 'batches'));
  }

  async close(): Promise<void> {
    await this.server.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** One for some twenty files; each comes even if some files are not sent. */
function faultsFor(files: number, random: () => number): Fault[] {
  const actions: readonly [Fault, ...Fault[]] = [
    { on: 'create-session', do: 'reset-after-commit' },
    { on: 'create-session', do: { status: 503 } },
    { on: 'fragment', do: 'reset-before' },
    { on: 'fragment', do: 'reset-mid' },
    { on: 'fragment', do: 'reset-after-commit' },
    { on: 'fragment', do: 'session-gone' },
    { on: 'fragment', do: { status: 500 } },
    { on: 'fragment', do: { keepBytes: 100 } },
    { on: 'close-session', do: 'reset-before' },
    { on: 'close-session', do: { delayMs: 200 } },
  ];
  const count = Math.ceil(files / 20);
  const step = (files - 15) / count;
  return Array.from({ length: count }, (_, index) => {
    const action = actions[Math.floor(random() * actions.length)] ?? actions[0];
    return { ...action, nth: 1 + Math.floor(index * step + random() * step) };
  });
}

async function digest(path: string): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isFile() ? sha256(await readFile(path)) : undefined;
}
