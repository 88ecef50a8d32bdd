import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { folderUntilExit } from '../support/files.js';
import { npmInstall, pack } from '../support/package.js';

const execute = promisify(execFile);

/** Files that the guides upload. */
const FILES: Readonly<Record<string, string | Buffer>> = {
  'dump.zip': randomBytes(3 * 1024 ** 2),
  'orders.csv': 'id,amount\n1,10\n2,20\n',
  'urgent.zip': randomBytes(70_000),
  'app.log': 'one line\n',
  'db.log': 'another line\n',
  'build/app.tar.gz': randomBytes(100_000),
  'build/app.sha256': `${'0'.repeat(64)}  app.tar.gz\n`,
  'photos/2026/sea.jpg': randomBytes(20_000),
  'photos/2026/sky.jpg': randomBytes(30_000),
};

/** What the guides call their servers; each stands for a reference server. */
const SERVERS = {
  plain: ['https://server.example/', 'http://127.0.0.1:8080/'],
  replying: ['https://reply.example/'],
};

/**
 * A folder with files and the package in it, as the reader of a guide has one, and servers to upload to.
 */
export class Workshop {
  readonly folder: string;
  readonly #servers: Readonly<Record<keyof typeof SERVERS, BitsServer>>;

  private constructor(folder: string, servers: Workshop['servers']) {
    this.folder = folder;
    this.#servers = servers;
  }

  static async open(): Promise<Workshop> {
    const folder = await mkdtemp(path.join(tmpdir(), 'bits-upload-guide-'));
    for (const [name, content] of Object.entries(FILES)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), content);
    }
    await cp('examples', path.join(folder, 'examples'), { recursive: true });
    const modules = path.join(folder, 'node_modules');
    await mkdir(modules);
    installation ??= install();
    const installed = await installation;
    for (const name of ['bits-upload', '.bin']) await link(path.join(installed, name), modules);
    await link('node_modules/express', modules);
    return new Workshop(folder, {
      plain: await createBitsServer({ allowOverwrite: true }),
      replying: await createBitsServer({
        allowOverwrite: true,
        async reply(upload) {
          let lines = 0;
          for await (const chunk of upload.open()) {
            for (const byte of chunk) if (byte === 10) lines += 1;
          }
          return JSON.stringify({ bytes: upload.bytes, lines });
        },
      }),
    });
  }

  get servers() {
    return this.#servers;
  }

  /** Runs a module; a name that ends in `.mts` is TypeScript. */
  async runModule(name: string, code: string, args: readonly string[] = []): Promise<string> {
    const file = path.join(this.folder, name);
    await writeFile(file, this.withServers(code));
    const loader = name.endsWith('.mts') ? ['--import', import.meta.resolve('tsx')] : [];
    return this.run(process.execPath, [...loader, file, ...args]);
  }

  /** Runs lines of a shell, each of which must succeed. */
  runShell(code: string): Promise<string> {
    return this.run('bash', ['-euo', 'pipefail', '-c', this.withServers(code)]);
  }

  withServers(code: string): string {
    let text = code;
    for (const [name, urls] of Object.entries(SERVERS)) {
      const { url } = this.#servers[name as keyof typeof SERVERS];
      for (const each of urls) text = text.replaceAll(each, url);
    }
    return text;
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#servers).map((server) => server.close()));
    await rm(this.folder, { recursive: true, force: true });
  }

  /** @returns what the program writes to standard output */
  async run(program: string, args: readonly string[]): Promise<string> {
    const { PATH } = process.env;
    const bin = path.join(this.folder, 'node_modules/.bin');
    const { stdout } = await execute(program, args, {
      cwd: this.folder,
      timeout: 120_000,
      env: {
        PATH: `${bin}${path.delimiter}${path.dirname(process.execPath)}${path.delimiter}${PATH}`,
        HOME: path.join(this.folder, 'home'),
        BITS_UPLOAD_USER: 'CORP\\build',
        BITS_UPLOAD_PASSWORD: 'secret',
        BITS_PASSWORD: 'secret',
        BITS_URL: this.#servers.plain.url,
        npm_config_update_notifier: 'false',
      },
    });
    return stdout;
  }
}

async function link(target: string, folder: string): Promise<void> {
  await symlink(path.resolve(target), path.join(folder, path.basename(target)), 'junction');
}

let installation: Promise<string> | undefined;

/** Packs the package and installs it, as readers do; once for all workshops. */
async function install(): Promise<string> {
  const folder = folderUntilExit();
  const { tarball } = await pack(folder);
  await writeFile(path.join(folder, 'package.json'), '{ "private": true }');
  await npmInstall(folder, '--ignore-scripts', tarball);
  return path.join(folder, 'node_modules');
}
