import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Of `npm install`, which asks the registry for no more than it has to. */
export const QUIETLY = ['--no-audit', '--no-fund', '--prefer-offline'];

export const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Installs packages into a folder that has a package.json. @returns what npm prints */
export async function npmInstall(folder: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(npm, ['install', ...QUIETLY, ...args], {
    cwd: folder,
    // Node starts no batch files without one.
    shell: process.platform === 'win32',
  });
  return stdout;
}

export interface Packed {
  readonly tarball: string;
  /** Paths in the tarball. */
  readonly files: readonly string[];
}

/** Packs this package, as it is built now, into a folder. */
export async function pack(folder: string): Promise<Packed> {
  const options = ['--json', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await run(npm, ['pack', ...options]);
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  return { tarball: join(folder, packed.filename), files: packed.files.map(({ path }) => path) };
}
