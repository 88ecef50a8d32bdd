import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.js';
import { Capture } from './capture.js';

/** The program with the options of all its commands. */
export function wholeProgram(): Command {
  return createProgram(new Capture(), async () => {});
}
