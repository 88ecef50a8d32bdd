import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writePatterned } from '../support/files.js';
import { EmulatedLine, type LineSettings } from './emulated-line.js';
import type { FarSideEvent, FarSideOptions } from './far-side.js';
import { JsonLines } from './json-lines.js';
import type { UploaderEvent, UploaderOptions } from './uploader.js';

const NAME = 'file.bin';

/** Paths of what the two sides and the line between them run. */
export interface Programs {
  readonly emulator: string;
  readonly uploader: string;
  readonly farSide: string;
}

export interface StageOptions {
  readonly line: LineSettings;
  readonly bytes: number;
  readonly farSide?: Omit<FarSideOptions, 'root' | 'seed'> | undefined;
}

/** One upload over an emulated line: what a scenario takes place on. */
export class Stage {
  readonly line: EmulatedLine;
  readonly bytes: number;
  readonly #programs: Programs;
  readonly #folder: string;
  #farSide: JsonLines<FarSideEvent> | undefined;

  /** @param folder a new one, for the files of both sides */
  static async open(
    programs: Programs,
    folder: string,
    name: string,
    { line: settings, bytes, farSide }: StageOptions,
  ): Promise<Stage> {
    const line = await EmulatedLine.create(programs.emulator, name);
    const stage = new Stage(line, programs, folder, bytes);
    await mkdir(join(folder, 'server'), { recursive: true });
    await writePatterned(join(folder, NAME), bytes);
    line.set(settings);
    stage.#farSide = new JsonLines(
      stage.#script('server', programs.farSide, {
        ...farSide,
        root: join(folder, 'server'),
        seed: 1,
      } satisfies FarSideOptions),
    );
    await stage.#farSide.next('listening');
    return stage;
  }

  private constructor(line: EmulatedLine, programs: Programs, folder: string, bytes: number) {
    this.line = line;
    this.#programs = programs;
    this.#folder = folder;
    this.bytes = bytes;
    open.add(this);
  }

  upload(options: Omit<UploaderOptions, 'source'>): Upload {
    const source = join(this.#folder, NAME);
    return new Upload(
      this.#script('client', this.#programs.uploader, { ...options, source }),
      this.bytes,
    );
  }

  /** Resolves when the application behind the server is done with its work. */
  async applicationDone(): Promise<void> {
    await this.#farSide?.next('application-done');
  }

  /** Runs a command on the client's side. @returns its standard output */
  async run(command: string, ...args: string[]): Promise<string> {
    const child = this.line.spawn('client', command, args);
    let output = '';
    child.stdout?.on('data', (text) => {
      output += text;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`);
    return output;
  }

  get sourcePath(): string {
    return join(this.#folder, NAME);
  }

  /** @throws Error unless the server has the file as it is */
  async check(): Promise<void> {
    const [sent, stored] = await Promise.all([
      readFile(this.sourcePath),
      readFile(join(this.#folder, 'server', NAME)),
    ]);
    if (!sent.equals(stored)) throw new Error('what is stored is not what was sent');
  }

  close(): void {
    open.delete(this);
    this.line.close();
  }

  #script(side: 'client' | 'server', program: string, options: object): ChildProcess {
    const args = [program, JSON.stringify(options)];
    return this.line.spawn(side, process.execPath, args);
  }
}

const open = new Set<Stage>();

// A run that breaks off leaves no namespaces and no processes behind.
process.once('exit', () => {
  for (const stage of open) stage.close();
});

/** An upload in a process of its own. */
export class Upload {
  readonly #process: ChildProcess;
  readonly #events: JsonLines<UploaderEvent>;
  readonly #bytes: number;
  readonly done: Promise<Extract<UploaderEvent, { event: 'done' }>>;

  constructor(process: ChildProcess, bytes: number) {
    this.#process = process;
    this.#bytes = bytes;
    this.#events = new JsonLines(process);
    this.done = this.#events.next('done');
  }

  get started(): Promise<unknown> {
    return this.#events.next('started');
  }

  /** Resolves when this part of the file is acknowledged. */
  async acknowledged(part: number): Promise<void> {
    const fits = ({ bytesAcknowledged }: { bytesAcknowledged: number }) =>
      bytesAcknowledged >= part * this.#bytes;
    await this.#events.next('progress', fits);
  }

  /** Resolves when the system has taken this part of the file. */
  async sent(part: number): Promise<void> {
    await this.#events.next('progress', ({ bytesSent }) => bytesSent >= part * this.#bytes);
  }

  get progress(): readonly Extract<UploaderEvent, { event: 'progress' }>[] {
    return this.#events.all.filter((event) => event.event === 'progress');
  }

  get retries(): readonly string[] {
    return this.#events.all.filter((event) => event.event === 'retry').map((one) => one.message);
  }

  async suspend(): Promise<void> {
    const suspended = this.#events.next('suspended');
    this.#process.stdin?.write('suspend\n');
    await suspended;
  }

  resume(): void {
    this.#process.stdin?.write('resume\n');
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(name);
  }
}
