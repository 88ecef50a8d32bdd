import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { errorChain } from '../common/error-like.js';
import { VERSION } from '../version.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { LineFile } from './log-file.js';
import { printable } from './render/text.js';

const EVENTS = [
  'request',
  'authentication',
  'response',
  'failure',
  'state',
  'retry',
  'warning',
] as const;

/**
 * Writes every packet and answer of this process to a new file, as JSON lines; docs/diagnostics.md says
 * how to read it. The messages of the channels hold no secret.
 * @param warn called when the file cannot be completed
 * @returns ends it; no file stays of a command line that was wrong
 * @throws UsageError when the file exists, or cannot be created
 */
export function startTrace(
  path: string,
  command: string,
  warn: (message: string) => void,
): (exitCode: ExitCode) => void {
  const file = new LineFile('--trace', path, 'wx', warn);
  const startedMs = performance.now();
  const write = (event: string, message: object): void => {
    const atMs = Math.round(performance.now() - startedMs);
    const { error, ...rest } = message as { readonly error?: unknown };
    const errors = error === undefined ? undefined : [...errorChain(error)].map(briefly);
    // Headers of a server may hold escape sequences.
    file.writeLine(printable(JSON.stringify({ atMs, event, ...rest, errors })));
  };
  const { platform, arch, version: node } = process;
  const time = new Date().toISOString();
  write('start', { time, command, version: VERSION, node, platform, arch });
  let isEmpty = true;
  const listeners = EVENTS.map((event) => {
    const onMessage = (message: unknown): void => {
      isEmpty = false;
      write(event, message as object);
    };
    subscribe(`bits-upload:${event}`, onMessage);
    return () => unsubscribe(`bits-upload:${event}`, onMessage);
  });
  return (exitCode) => {
    for (const stop of listeners) stop();
    write('end', {});
    file.close();
    // The corrected command could not have the same name for its trace.
    if (exitCode === EXIT.usage && isEmpty) file.remove();
  };
}

/** The messages of errors of other packages may hold secrets; those of this one do not. */
function briefly(error: Error): object {
  const { name, code, message } = error as Error & { readonly code?: unknown };
  return String(code).startsWith('BITS_') ? { name, code, message } : { name, code };
}
