import { EXIT } from './exit-codes.js';
import { flushed } from './io.js';
import { run } from './program.js';

/** Runs one command line as this process, and ends it. */
export async function runProcess(args: readonly string[]): Promise<void> {
  // Arguments may hold secrets; the title takes their place in the list of processes.
  process.title = 'bits-upload';
  const code = await run(args, process);
  process.exitCode = code;
  if (code < EXIT.sigint) return;
  // A look-up of a host name cannot be cut short and would keep a stopped process alive.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit();
}
