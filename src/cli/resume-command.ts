import type { JobState } from './state-directory.js';

/**
 * The command that resumes or cancels a job, ready to be pasted into a shell.
 * @param more arguments that have to be given again
 */
export function commandFor(
  command: 'resume' | 'cancel',
  id: string,
  state: JobState,
  more: readonly string[],
): string {
  const args = [command, id, ...state.arguments, ...more];
  return ['bits-upload', ...args.map((arg) => quoteArgument(arg))].join(' ');
}

const PLAIN = /^[\w@%+=:,./-]+$/;
const PLAIN_ON_WINDOWS = /^[\w@+=:,./\\-]+$/;

/** Quotes an argument for a POSIX shell, on Windows for `cmd`. */
export function quoteArgument(text: string, platform: string = process.platform): string {
  if (platform === 'win32') return PLAIN_ON_WINDOWS.test(text) ? text : inDoubleQuotes(text);
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Programs want `\"` or `""` for a quotation mark, but `cmd` takes the first for the end. */
function inDoubleQuotes(text: string): string {
  return `"${text.replaceAll(/(\\*)"/g, '$1$1""').replace(/\\+$/, '$&$&')}"`;
}
