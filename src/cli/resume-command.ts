import type { Option } from 'commander';
import { HIDDEN_QUERY } from './commands/find-jobs.js';
import { hasPassword } from './commands/network-options.js';
import { CONNECTION_OPTIONS, type Flags, UNRECORDED_OPTIONS } from './commands/options.js';
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

/**
 * What a record does not hold of the way to a server.
 * @param url without its query; undefined: it has none
 */
export function connectionArguments(flags: Flags, url: string | undefined): string[] {
  const forUrl = url === undefined ? [] : ['--url', `${url}${HIDDEN_QUERY}`];
  return [...argumentsOf(CONNECTION_OPTIONS, flags), ...forUrl];
}

/** As {@link connectionArguments}, and what else it takes to resume an upload. */
export function resumeArguments(flags: Flags, url: string | undefined): string[] {
  return [...connectionArguments(flags, url), ...argumentsOf(UNRECORDED_OPTIONS, flags)];
}

/** The options as they have to be given again; the user has to fill in secrets. */
function argumentsOf(options: readonly Option[], flags: Flags): string[] {
  return options.flatMap((option) => {
    const { long = '' } = option;
    const value = flags[option.attributeName() as keyof Flags];
    if (value === undefined || value === false) return [];
    if (value === true) return [long];
    return [value].flat().flatMap((one) => [long, withoutSecret(long, String(one))]);
  });
}

function withoutSecret(option: string, value: string): string {
  switch (option) {
    case '--oauth2-bearer':
    case '--pass':
    case '--password-command':
      return '…';
    case '--user':
    case '--proxy-user':
      return hasPassword(value) ? `${value.slice(0, value.indexOf(':'))}:…` : value;
    case '--proxy':
      return value.replace(/^([a-z0-9]+:\/\/)?.*@/i, '$1…@');
    case '--header':
      return `${value.slice(0, value.indexOf(':'))}: …`;
    default:
      return value;
  }
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
