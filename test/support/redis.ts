import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import { locate, type Part } from '../interop/support/installed.js';
import { freePort } from '../interop/support/ports.js';

export const REDIS: Part = { package: 'redis-server', files: ['redis-server'] };

/** A Redis of its own, on a free port of loopback. */
export class RedisServer {
  readonly port: number;
  readonly #directory: string;
  readonly #args: readonly string[];
  readonly #clients = new Set<Redis>();
  #child: ChildProcess | undefined;

  private constructor(port: number, directory: string, args: readonly string[]) {
    this.port = port;
    this.#directory = directory;
    this.#args = args;
  }

  /** @param args more arguments of `redis-server` */
  static async start(...args: string[]): Promise<RedisServer> {
    const directory = await mkdtemp(join(tmpdir(), 'bits-redis-'));
    // Somebody else may take the port in between.
    for (let attempt = 0; ; attempt++) {
      const server = new RedisServer(await freePort(), directory, args);
      try {
        await server.run();
        return server;
      } catch (error) {
        if (attempt === 4) throw error;
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Runs it again after it was killed, with the data that it kept. */
  async run(): Promise<void> {
    const child = spawn(
      locate('redis-server') ?? 'redis-server',
      [
        ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#directory],
        ...['--save', '', ...this.#args],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#child = child;
    const exit = (): void => void child.kill('SIGKILL');
    process.once('exit', exit);
    child.once('exit', () => process.off('exit', exit));
    let said = '';
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('Ready to accept connections')) {
        child.stdout.resume();
        return;
      }
      said += `${line}\n`;
    }
    throw new Error(`redis-server ended:\n${said}`);
  }

  /** It answers nothing until it is killed. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** As a crash of the process does. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  /** A client that ends with the server. */
  connect(): Redis {
    const client = new Redis(this.port, '127.0.0.1', { maxRetriesPerRequest: null });
    // While the server is killed.
    client.on('error', () => {});
    this.#clients.add(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
