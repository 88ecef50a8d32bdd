import type { Readable, Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import type { Argument, Command, Option } from 'commander';
import type { Flags } from './commands/options.js';
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

/** A command of the program. */
export interface CliCommand {
  /** Its line in the list of commands. */
  readonly summary: string;
  /** The first line of its help; undefined: the summary says it all. */
  readonly description?: string;
  readonly examples: readonly string[];
  /** What its help says after the options. */
  readonly help: string;
  /** Undefined: it takes options alone. */
  readonly argument?: Argument;
  /** Its arguments as the help shows them, if that is not what {@link argument} is called. */
  readonly usage?: string;
  readonly options: readonly Option[];
  /** @throws UsageError, BITS_ERR_ARGUMENT for a wrong command line */
  run(args: readonly string[], flags: Flags, context: CommandContext): Promise<ExitCode>;
}

/** Resolves when everything was handed to the operating system, or with the error that prevents it. */
export function flushed(stream: Writable): Promise<Error | null | undefined> {
  return new Promise((resolve) => {
    if (!stream.writable) resolve(stream.errored);
    else stream.write('', (error) => resolve(error));
  });
}
