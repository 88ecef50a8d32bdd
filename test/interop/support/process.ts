import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { locate } from './installed.js';
import { untilAnswers } from './ports.js';
import { serverUser } from './scratch.js';

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** Waited for; undefined: the server is up when it runs. */
  readonly port: number | undefined;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Files that tell what went wrong. */
  readonly logs?: readonly string[];
}

const MAX_OUTPUT = 20_000;
const MAX_SHOWN = 3_000;
const STOP_LIMIT_MS = 5_000;

/** A server as a child process, with all that it starts itself in one process group. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #logs: readonly string[];
  readonly #title: string;
  readonly #ended = new AbortController();
  #output = '';

  private constructor({ command, args, cwd, env, logs = [] }: ServerCommand) {
    this.#title = command;
    this.#logs = logs;
    this.#child = spawn(locate(command) ?? command, args, {
      cwd,
      env: { PATH: `${process.env.PATH}:/usr/sbin`, HOME: cwd, TMPDIR: cwd, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...serverUser,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-MAX_OUTPUT);
      });
    }
    this.#child.once('error', (error) => {
      this.#output += error.message;
      this.#ended.abort();
    });
    this.#child.once('exit', () => this.#ended.abort());
  }

  /** @throws Error with the server's logs when it ends, or does not answer in time */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const server = new ServerProcess(command);
    running.add(server);
    try {
      if (command.port !== undefined) await untilAnswers(command.port, server.#ended.signal);
      return server;
    } catch (cause) {
      const logs = await server.logs();
      await server.stop();
      throw new Error(`${command.command} did not start:\n${logs}`, { cause });
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** All that it said. */
  get output(): string {
    return this.#output;
  }

  async logs(): Promise<string> {
    const files = await Promise.all(this.#logs.map((path) => readFile(path, 'utf8').catch(String)));
    const ends = [this.#output, ...files].map((text) => text.slice(-MAX_SHOWN));
    return [`-- ${this.#title}`, ...ends].join('\n').trim();
  }

  /** Resolves when it has said so. */
  async untilSays(pattern: RegExp, from = 0): Promise<void> {
    while (!pattern.test(this.#output.slice(from))) {
      const { signal } = this.#ended;
      if (signal.aborted) throw new Error(`${this.#title} ended: ${this.#output}`);
      await Promise.race([
        once(this.#child.stderr as NodeJS.EventEmitter, 'data'),
        once(this.#child.stdout as NodeJS.EventEmitter, 'data'),
        once(this.#child, 'exit'),
      ]);
    }
  }

  /** Ends it and its children. */
  async stop(): Promise<void> {
    running.delete(this);
    if (this.#child.pid === undefined) return;
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = once(this.#child, 'exit');
      const limit = setTimeout(() => this.killGroup(), STOP_LIMIT_MS);
      this.#child.kill('SIGTERM');
      await exit;
      clearTimeout(limit);
    }
    this.killGroup();
  }

  killGroup(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  }
}

const running = new Set<ServerProcess>();

// A test run that breaks off leaves no servers behind.
process.once('exit', () => {
  for (const server of running) server.killGroup();
});
