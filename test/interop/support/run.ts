import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { locate } from './installed.js';
import { type Scratch, serverUser } from './scratch.js';

const exec = promisify(execFile);

/** Runs a tool to its end in the scratch folder, as the servers' user; returns what it printed. */
export async function run(
  scratch: Scratch,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await exec(locate(command) ?? command, args, {
    cwd: scratch.path,
    env: { PATH: process.env.PATH, HOME: scratch.path, ...env },
    ...serverUser,
  });
  return stdout;
}
