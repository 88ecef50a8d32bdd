import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  CLIENT_ADDRESS,
  OTHER_CLIENT_ADDRESS,
  OTHER_SERVER_ADDRESS,
  SERVER_ADDRESS,
} from './addresses.js';
import { JsonLines } from './json-lines.js';

const run = promisify(execFile);

/** What the line is like; from the client to the server (`up`), to the client (`down`), or both. */
export interface LineSettings {
  /** One way. @default 0 */
  readonly delayMs?: number;
  /** @default unlimited */
  readonly bitsPerSecond?: number;
  /** Bytes that may wait for the line; more are lost. @default unlimited */
  readonly queueBytes?: number;
}

type LineEvent =
  | { readonly event: 'ready' | 'cut' | 'restored' | 'forgot' }
  | { readonly event: 'first-payload'; readonly afterMs: number }
  | { readonly event: 'stats'; readonly payloadBytes: number };

/** Two network namespaces, one of the client and one of the server, and the line between them. */
export class EmulatedLine {
  readonly #client: string;
  readonly #server: string;
  readonly #emulator: ChildProcess;
  readonly #children = new Set<ChildProcess>();
  readonly #events: JsonLines<LineEvent>;

  /** @param emulator the program, compiled */
  static async create(emulator: string, name: string): Promise<EmulatedLine> {
    const namespaces = [`bits-${process.pid}-${name}-c`, `bits-${process.pid}-${name}-s`];
    for (const namespace of namespaces) {
      await run('ip', ['netns', 'add', namespace]);
      await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
      // `ip netns exec` puts these files in place of those of /etc.
      await mkdir(hostsFolder(namespace), { recursive: true });
      await writeFile(join(hostsFolder(namespace), 'hosts'), '127.0.0.1 localhost\n');
    }
    const [client = '', server = ''] = namespaces;
    const addresses = [client, `${CLIENT_ADDRESS}/24`, server, `${SERVER_ADDRESS}/24`];
    const line = new EmulatedLine(
      client,
      server,
      spawn(emulator, addresses, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await line.#events.next('ready');
    return line;
  }

  private constructor(client: string, server: string, emulator: ChildProcess) {
    this.#client = client;
    this.#server = server;
    this.#emulator = emulator;
    this.#events = new JsonLines(emulator);
  }

  set(settings: LineSettings, which: 'both' | 'up' | 'down' = 'both'): void {
    const { delayMs, bitsPerSecond, queueBytes } = settings;
    if (delayMs !== undefined) this.#command(`set ${which} delay ${delayMs}`);
    if (bitsPerSecond !== undefined) this.#command(`set ${which} rate ${bitsPerSecond}`);
    if (queueBytes !== undefined) this.#command(`set ${which} queue ${queueBytes}`);
  }

  // Each of these resolves when the client has sent payload again over a way that works, with the
  // seconds that it took from when there was one.

  /** Nothing passes for so long. */
  cut(seconds: number): Promise<number> {
    return this.#secondsToPayload(`cut ${seconds}`);
  }

  /** As {@link cut}, from the next packet of the client that holds `text`. */
  cutAt(text: string, seconds: number): Promise<number> {
    return this.#secondsToPayload(`cut-at-upload ${seconds} ${text}`);
  }

  /** Every flow is forgotten, as by a NAT that restarts. */
  forgetAll(): Promise<number> {
    return this.#secondsToPayload('forget-all');
  }

  /** Nothing happens to the line. */
  watch(): Promise<number> {
    return this.#secondsToPayload('watch');
  }

  /** The client has no address for so long, and then another one. */
  async changeClientAddress(afterSeconds = 0): Promise<number> {
    const ip = (...args: string[]) => run('ip', ['-n', this.#client, ...args]);
    await ip('addr', 'del', `${CLIENT_ADDRESS}/24`, 'dev', 'lnk0');
    await wait(afterSeconds * 1000);
    await ip('addr', 'add', `${OTHER_CLIENT_ADDRESS}/24`, 'dev', 'lnk0');
    await ip('route', 'replace', 'default', 'dev', 'lnk0');
    return this.forgetAll();
  }

  /** The server has another address from now on, and nothing answers at the one before. */
  async changeServerAddress(): Promise<number> {
    const ip = (...args: string[]) => run('ip', ['-n', this.#server, ...args]);
    await ip('addr', 'del', `${SERVER_ADDRESS}/24`, 'dev', 'lnk0');
    await ip('addr', 'add', `${OTHER_SERVER_ADDRESS}/24`, 'dev', 'lnk0');
    await ip('route', 'replace', 'default', 'dev', 'lnk0');
    return this.forgetAll();
  }

  /** Flows in which no packet came for so long are forgotten. */
  forgetIdle(seconds: number): void {
    this.#command(`forget-idle ${seconds}`);
  }

  /** What the client has sent so far, repeated packets included. */
  async payloadBytes(): Promise<number> {
    const stats = this.#events.next('stats');
    this.#command('stats');
    return (await stats).payloadBytes;
  }

  /** Gives the client an address of IPv6, and a route to nobody. */
  async addSilentIpv6(): Promise<void> {
    const ip = (...args: string[]) => run('ip', ['-n', this.#client, '-6', ...args]);
    await ip('addr', 'add', 'fd00:77::2/64', 'dev', 'lnk0', 'nodad');
    await ip('route', 'replace', 'default', 'dev', 'lnk0');
  }

  /** What the client's names lead to. */
  async setHosts(lines: readonly string[]): Promise<void> {
    const text = ['127.0.0.1 localhost', ...lines, ''].join('\n');
    // The file is mounted by now: its content has to change, and not the file.
    await writeFile(join(hostsFolder(this.#client), 'hosts'), text);
  }

  spawn(side: 'client' | 'server', command: string, args: readonly string[]): ChildProcess {
    const namespace = side === 'client' ? this.#client : this.#server;
    const child = spawn('ip', ['netns', 'exec', namespace, command, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.add(child);
    return child;
  }

  /** Ends what runs on both sides, and removes them; at once, so that it can happen at any exit. */
  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#emulator.kill('SIGKILL');
    for (const namespace of [this.#client, this.#server]) {
      execFileSync('ip', ['netns', 'del', namespace]);
      rmSync(hostsFolder(namespace), { recursive: true, force: true });
    }
  }

  async #secondsToPayload(command: string): Promise<number> {
    const payload = this.#events.next('first-payload');
    this.#command(command);
    return (await payload).afterMs / 1000;
  }

  #command(text: string): void {
    this.#emulator.stdin?.write(`${text}\n`);
  }
}

function hostsFolder(namespace: string): string {
  return join('/etc/netns', namespace);
}
