import { quoteArgument } from './quote.js';
import type { JobState } from './state-directory.js';

/**
 * The command that goes on with a job, as it can be pasted into a shell.
 * @param more arguments that have to be given again
 */
export function resumeCommand(id: string, state: JobState, more: readonly string[]): string {
  return commandFor('resume', id, state, more);
}

/** The command that gives a job up; as {@link resumeCommand}. */
export function cancelCommand(id: string, state: JobState, more: readonly string[]): string {
  return commandFor('cancel', id, state, more);
}

function commandFor(
  command: 'resume' | 'cancel',
  id: string,
  { directory }: JobState,
  more: readonly string[],
): string {
  const state = directory === undefined ? [] : ['--state-dir', directory];
  const args = [command, id, ...state, ...more];
  return ['bits-upload', ...args.map((arg) => quoteArgument(arg))].join(' ');
}
