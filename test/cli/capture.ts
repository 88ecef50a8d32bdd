import { Readable, Writable } from 'node:stream';
import type { Io } from '../../src/cli/context.js';
import { stateEnvironment } from './scratch-state.js';

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
