import { type ChildProcess, execFile, fork, spawnSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What one run of one client took. */
export interface Sample {
  readonly wallMs: number;
  /** Undefined where nothing tells it. */
  readonly cpuMs?: number;
  readonly peakBytes?: number;
  /** What came in the 10 s in which least, or most, came; of runs that take longer. */
  readonly slowest10sBytes?: number;
  readonly fastest10sBytes?: number;
}

export interface Delivered {
  readonly bodyBytes: number;
  readonly files: number;
  readonly violations: number;
  /** What came in each tenth of a second, from the first byte to the last. */
  readonly tenths: readonly number[];
}

/** The sink's process. */
export class Sink {
  readonly #child: ChildProcess;
  readonly plainUrl: string;
  readonly secureUrl: string;

  static async start(): Promise<Sink> {
    const child = fork(here('sink.js'), { execArgv: [] });
    const ports = await message<{ plainPort: number; securePort: number }>(child);
    return new Sink(child, ports);
  }

  private constructor(child: ChildProcess, ports: { plainPort: number; securePort: number }) {
    this.#child = child;
    this.plainUrl = `http://127.0.0.1:${ports.plainPort}`;
    this.secureUrl = `https://localhost:${ports.securePort}`;
  }

  /** What has arrived since the last call. */
  async delivered(): Promise<Delivered> {
    this.#child.send('delivered');
    return message<Delivered>(this.#child);
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: string | null) =>
      reject(new Error(`the sink ended: ${code ?? signal}`));
    child.once('exit', onExit);
    child.once('message', (value) => {
      child.off('exit', onExit);
      resolve(value as T);
    });
  });
}

/** One run of a client of `bench/clients` in a process of its own. */
export async function runClient(name: string, options: object): Promise<Sample> {
  const args = [here(`clients/${name}.js`), JSON.stringify(options)];
  const { stdout } = await run(process.execPath, args, { env: bareEnvironment() });
  return JSON.parse(stdout) as Sample;
}

export const hasCurl = spawnSync('curl', ['--version']).status === 0;

export const hasRclone = spawnSync('rclone', ['version']).status === 0;

export async function runCurl(options: { url: string; file: string }): Promise<Sample> {
  const upload = `curl -sS -o /dev/null -w '%{time_total}' -T "$1" "$2"`;
  const script = `TIMEFORMAT='%U %S'; time ${upload}`;
  const { stdout, stderr } = await run('bash', ['-c', script, 'curl', options.file, options.url]);
  const [userS = 0, systemS = 0] = stderr.trim().split(/\s+/).map(Number);
  return { wallMs: Number(stdout) * 1000, cpuMs: (userS + systemS) * 1000 };
}

/** Plain PUTs of the files of a directory, so many at once. */
export async function runCurlParallel(options: {
  url: string;
  directory: string;
  concurrency: number;
}): Promise<Sample> {
  const { url, directory, concurrency } = options;
  const names = await readdir(directory);
  const config = names.map(
    (name) => `upload-file="${directory}/${name}"\nurl="${url}/${name}"\noutput=/dev/null`,
  );
  const startMs = performance.now();
  const curl = run('curl', ['-sSZ', '--parallel-max', `${concurrency}`, '-K', '-']);
  curl.child.stdin?.end(config.join('\n'));
  await curl;
  return { wallMs: performance.now() - startMs };
}

/** A directory over WebDAV, so many files at once. */
export async function runRclone(options: {
  url: string;
  directory: string;
  concurrency: number;
}): Promise<Sample> {
  const { url, directory, concurrency } = options;
  const transfers = ['--transfers', `${concurrency}`];
  const startMs = performance.now();
  await run('rclone', ['copy', directory, ':webdav:', '--webdav-url', url, ...transfers]);
  return { wallMs: performance.now() - startMs };
}

/** Time from the start of a Node process to its end. */
export async function runNode(...args: string[]): Promise<Sample> {
  const startMs = performance.now();
  await run(process.execPath, args, { cwd: here('..'), env: bareEnvironment() });
  return { wallMs: performance.now() - startMs };
}

/** Without what the runner's own loader needs. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
