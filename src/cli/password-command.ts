import { spawn } from 'node:child_process';
import { BitsError } from '../index.js';

/** Enough time to type a password into a dialogue. */
const LIMIT_MS = 120_000;

const MAX_OUTPUT_BYTES = 64 * 1024;

/**
 * Runs a command in the shell of the system and returns the first line that it prints.
 *
 * The command has the standard error of this program, for prompts, and no standard input.
 * @throws BITS_ERR_AUTH when it fails or prints nothing; the message shows neither the command nor its
 *   output
 */
export function passwordOf(command: string): Promise<string> {
  const child = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const fail = (what: string) => {
      child.kill();
      child.stdout.destroy();
      reject(new BitsError('BITS_ERR_AUTH', `The command of --password-command ${what}`));
    };
    const timer = setTimeout(() => fail(`did not end within ${LIMIT_MS / 1000} s`), LIMIT_MS);
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) fail('printed too much for a password');
      else chunks.push(chunk);
    });
    child.on('error', ({ code }: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(`cannot be run (${code})`);
    });
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer);
      if (exitCode !== 0)
        fail(`failed (${signal ?? `exit code ${exitCode}`}): run it separately to see why`);
      const [line = ''] = Buffer.concat(chunks).toString('utf8').split(/\r?\n/, 1);
      if (line === '') fail('printed no password');
      else resolve(line);
    });
  });
}
