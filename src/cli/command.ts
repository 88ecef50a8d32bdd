import type { Argument, Option } from 'commander';
import type { Flags } from './commands/options.js';
import type { CommandContext } from './context.js';
import type { ExitCode } from './exit-codes.js';

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
