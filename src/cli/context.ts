import type { Readable, Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import type { Command } from 'commander';
import type { ExitCode } from './exit-codes.js';
import type { Interruption } from './interruption.js';

/** A standard stream; `isTTY`, `columns` and `rows` are set when it is a terminal. */
export type OutputStream = Writable & Partial<Pick<WriteStream, 'isTTY' | 'columns' | 'rows'>>;

/** `fd` is set when it is a stream of the process. */
export type StandardInput = Readable & { readonly fd?: number };

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a command knows about its process. */
export interface Io {
  readonly stdin: StandardInput;
  /** For results only. */
  readonly stdout: OutputStream;
  /** For progress and messages. */
  readonly stderr: OutputStream;
  readonly env: Environment;
}

/** What the program passes to each command. */
export interface CommandContext {
  readonly io: Io;
  readonly interruption: Interruption;
  readonly program: Command;
  /** Whatever happens, this is done at the end of the command. */
  atEnd(action: (exitCode: ExitCode) => void): void;
}

/** Resolves when everything was handed to the operating system, or with the error that prevents it. */
export function flushed(stream: Writable): Promise<Error | null | undefined> {
  return new Promise((resolve) => {
    if (!stream.writable) resolve(stream.errored);
    else stream.write('', (error) => resolve(error));
  });
}
