import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { Io } from '../../src/cli/context.js';
import { run } from '../../src/cli/program.js';

/** Where unfinished uploads of tests are kept, so that they never mix with those of a person. */
const scratch = mkdtempSync(join(tmpdir(), 'bits-cli-state-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

export function stateEnvironment(directory = scratch): Record<string, string> {
  return { BITS_UPLOAD_STATE_DIR: directory };
}

/** An output that remembers what was written; a terminal when it has columns. */
export class Capture extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(columns = 0) {
    super({ decodeStrings: false });
    this.isTTY = columns > 0;
    this.columns = columns;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }

  get lines(): string[] {
    return this.text.split('\n').filter((line) => line !== '');
  }
}

export interface CapturedIo extends Io {
  readonly stdout: Capture;
  readonly stderr: Capture;
}

export interface CaptureOptions {
  readonly stdin?: string | Readable;
  readonly columns?: number;
  /** Where unfinished uploads are kept. */
  readonly state?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

export function capturedIo({ stdin, columns, state, env }: CaptureOptions = {}): CapturedIo {
  return {
    stdin: stdin instanceof Readable ? stdin : Readable.from(stdin ? [Buffer.from(stdin)] : []),
    stdout: new Capture(),
    stderr: new Capture(columns),
    env: { ...stateEnvironment(state), ...env },
  };
}

export type Json = Record<string, unknown>;

/** What a command line has come to. */
export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Those of standard output that are not empty. */
  readonly lines: readonly string[];
  /** Those of `--json`. */
  objects(): Json[];
  /** Without the summary at the end. */
  events(): Json[];
}

/** Runs a command line in this process. */
export async function runCli(
  args: readonly string[],
  options: CaptureOptions | CapturedIo = {},
): Promise<CliRun> {
  const io = 'stdout' in options ? options : capturedIo(options);
  const code = await run(args, io);
  const { lines, text: stdout } = io.stdout;
  const objects = () => lines.map((line): Json => JSON.parse(line));
  const events = () => objects().filter(({ type }) => type !== 'summary');
  return { code, stdout, stderr: io.stderr.text, lines, objects, events };
}
