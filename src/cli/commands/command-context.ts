import type { ExitCode } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';

/** What the program hands to each of its commands. */
export interface CommandContext {
  readonly io: Io;
  readonly interruption: Interruption;
  /** Called once, at the end of a command. */
  exitWith(code: ExitCode): void;
}
