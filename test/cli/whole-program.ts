import type { Command } from 'commander';
import { Interruption } from '../../src/cli/interruption.js';
import { createProgram } from '../../src/cli/program.js';
import { capturedIo } from './capture.js';

/** The program with the options of all its commands. */
export function wholeProgram(): Command {
  const ignore = () => {};
  const context = {
    io: capturedIo(),
    interruption: new Interruption(),
    exitWith: ignore,
    atEnd: ignore,
  };
  return createProgram(context);
}
