import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NOBODY = 65_534;

/** Whom servers run as: never root. Undefined: the user of the tests. */
export const serverUser: { readonly uid: number; readonly gid: number } | undefined =
  process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined;

/** A folder for a server's configuration, logs and state, which the server may write to. */
export class Scratch {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<Scratch> {
    const scratch = new Scratch(await mkdtemp(join(tmpdir(), 'bits-interop-')));
    await give(scratch.path);
    return scratch;
  }

  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Makes a file that the server may read; returns its path. */
  async write(name: string, content: string | Uint8Array): Promise<string> {
    const path = this.at(name);
    await writeFile(path, content, { mode: 0o600 });
    await give(path);
    return path;
  }

  async folder(name: string): Promise<string> {
    const path = this.at(name);
    await mkdir(path, { recursive: true });
    await chmod(path, 0o700);
    await give(path);
    return path;
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }
}

async function give(path: string): Promise<void> {
  if (serverUser) await chown(path, serverUser.uid, serverUser.gid);
}
