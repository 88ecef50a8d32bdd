import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { Io } from '../../src/cli/context.js';

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
  readonly stdin?: string;
  readonly columns?: number;
  /** Where unfinished uploads are kept. */
  readonly state?: string | undefined;
}

export function capturedIo(options: CaptureOptions = {}): CapturedIo {
  return {
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: new Capture(),
    stderr: new Capture(options.columns),
    env: stateEnvironment(options.state),
  };
}
