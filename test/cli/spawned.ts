import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Json, stateEnvironment } from './capture.js';

/** The program as it is installed: `npm run build` makes it. */
export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build`);

export interface SpawnOptions {
  readonly stdin?: string | Buffer;
  readonly stdout?: number;
  /** Instead of the program. */
  readonly script?: readonly string[];
  /** Where unfinished uploads are kept. */
  readonly state?: string | undefined;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Killed when it takes longer; 0: never. @default 15000 */
  readonly timeoutMs?: number;
}

/** The program, or another script of Node, as a process of its own. */
export class Spawned {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  #watchers: { readonly pattern: RegExp; readonly resolve: () => void }[] = [];

  constructor(args: readonly string[], options: SpawnOptions = {}) {
    const {
      stdin,
      stdout = 'pipe',
      script = [MAIN],
      state,
      cwd,
      env,
      timeoutMs = 15_000,
    } = options;
    this.process = spawn(process.execPath, [...script, ...args], {
      stdio: ['pipe', stdout, 'pipe'],
      cwd,
      env: { ...process.env, ...stateEnvironment(state), ...env },
      // A test that fails leaves no process behind.
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#look();
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A process that reads no input may be gone already.
    this.process.stdin?.on('error', () => {});
    this.process.stdin?.end(stdin);
  }

  /** Resolves when standard output holds the pattern; rejects when the process ends without it. */
  async said(pattern: RegExp): Promise<void> {
    const seen = new Promise<void>((resolve) => this.#watchers.push({ pattern, resolve }));
    this.#look();
    const ended = this.ended().then(({ code }) => {
      if (!pattern.test(this.stdout)) {
        throw new Error(`ended with ${code} before it said ${pattern}: ${this.stderr}`);
      }
    });
    await Promise.race([seen, ended]);
  }

  async ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    const { exitCode, signalCode } = this.process;
    if (exitCode !== null || signalCode !== null) return { code: exitCode, signal: signalCode };
    const [code, signal] = await once(this.process, 'close');
    return { code, signal };
  }

  /** What it prints with `--json`; when it is killed, its last line may be a part of one. */
  async *objects(): AsyncGenerator<Json> {
    for await (const line of createInterface(this.process.stdout ?? Readable.from([]))) {
      try {
        yield JSON.parse(line);
      } catch {}
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  #look(): void {
    this.#watchers = this.#watchers.filter(({ pattern, resolve }) => {
      if (!pattern.test(this.stdout)) return true;
      resolve();
      return false;
    });
  }
}
