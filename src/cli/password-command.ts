import { spawn } from 'node:child_process';
import { onAbort } from '../common/abort.js';
import { BitsError } from '../index.js';

/** Enough time to type a password into a dialogue. */
const LIMIT_MS = 120_000;

const MAX_OUTPUT_BYTES = 64 * 1024;

/**
 * Runs a command in the shell of the system and returns the first line that it prints.
 *
 * The command has the standard error of this program, for prompts, and no standard input.
 * It is stopped when the signal aborts.
 * @throws BITS_ERR_AUTH when it fails or prints nothing; the message shows neither the command nor its
 *   output
 */
export function passwordOf(command: string, signal: AbortSignal): Promise<string> {
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
    const listening = onAbort(signal, () => fail('was stopped'));
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) fail('printed too much for a password');
      else chunks.push(chunk);
    });
    child.on('error', ({ code }: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(`cannot be run (${code})`);
    });
    child.on('close', (exitCode, killedBy) => {
      clearTimeout(timer);
      listening[Symbol.dispose]();
      if (exitCode !== 0)
        fail(`failed (${killedBy ?? `exit code ${exitCode}`}): run it separately to see why`);
      const [line = ''] = Buffer.concat(chunks).toString('utf8').split(/\r?\n/, 1);
      if (line === '') fail('printed no password');
      else resolve(line);
    });
  });
}
