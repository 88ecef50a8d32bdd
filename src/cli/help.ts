import { type Command, Help, type HelpConfiguration, type Option } from 'commander';

/** The options of all commands in groups: first what everybody needs, last what few do. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'Options:': [
    'redis',
    'queue',
    'cancel',
    'retry',
    'directory',
    'name',
    'root',
    'port',
    'all',
    'older-than',
    'unreadable',
    'url',
    'host',
    'allow-host',
    'read',
    'probe',
    'recursive',
    'transfers',
    'dry-run',
    'user',
    'json',
    'quiet',
    'verbose',
  ],
  'Which files:': [
    'include',
    'exclude',
    'follow-links',
    'files-from',
    'null',
    'manifest',
    'size',
    'skip-existing',
  ],
  'Afterwards:': ['remove-source', 'checksum'],
  'Output:': ['stats', 'log-file', 'trace'],
  'Speed and time limits:': [
    'fail-fast',
    'limit-rate',
    'priority',
    'max-time',
    'connect-timeout',
    'timeout',
    'retries',
    'fragment-size',
  ],
  'Reply of the server:': ['reply', 'reply-file', 'reply-dir', 'reply-optional', 'max-reply-size'],
  'Interrupted uploads:': [
    'no-resume',
    'on-uncertain',
    'spool-size',
    'state-dir',
    'trust-state-dir',
  ],
  'Authentication:': [
    'origin',
    'credentials',
    'password-command',
    'oauth2-bearer',
    'basic',
    'digest',
    'ntlm',
    'negotiate',
    'anyauth',
    'trusted-host',
    'allow-insecure-auth',
    'allow-legacy-digest',
  ],
  'Certificates:': ['cacert', 'cert', 'key', 'pass', 'insecure'],
  'Proxies and HTTP:': [
    'proxy',
    'proxy-user',
    'noproxy',
    'header',
    'user-agent',
    'method-override',
  ],
};

/** Every option with the name of its group, in the order of the help. */
const PLACES = new Map(
  Object.entries(GROUPS).flatMap(([group, names]) => names.map((name) => [name, group] as const)),
);
const ORDER = [...PLACES.keys()];

/** Puts the options of a command into the groups and the order of the help. */
export function groupOptions(command: Command): void {
  for (const option of command.options) {
    const group = PLACES.get(option.name());
    if (group !== undefined) option.helpGroup(group);
  }
  // The help has groups in the order of the options.
  (command.options as Option[]).sort((a, b) => ORDER.indexOf(a.name()) - ORDER.indexOf(b.name()));
}

/** A description with examples, which stand before the options. */
export function withExamples(description: string, examples: readonly string[]): string {
  return [description, '', 'Examples:', ...examples.map((example) => `  ${example}`)].join('\n');
}

/** As the help and the documentation have it. */
export function descriptionOf({ description, argChoices, defaultValue }: Option): string {
  const choices = argChoices === undefined ? '' : `: ${argChoices.join(', ')}`;
  const byDefault = typeof defaultValue === 'string' ? ` (default: ${defaultValue})` : '';
  return `${description}${choices}${byDefault}`;
}

/** Longer names of options have their descriptions in the next line. */
const MAX_TERM_COLUMNS = 24;

export const HELP_STYLE: HelpConfiguration = {
  optionDescription: descriptionOf,
  subcommandTerm: (command) => command.name(),
  padWidth(command, helper) {
    return Math.min(Help.prototype.padWidth.call(this, command, helper), MAX_TERM_COLUMNS);
  },
  formatItem(term, termWidth, description, helper) {
    const item = Help.prototype.formatItem.call(this, '', termWidth, description, helper);
    if (helper.displayWidth(term) > termWidth) return `  ${term}\n${item}`;
    return `  ${term.padEnd(termWidth)}${item.slice(termWidth + 2)}`;
  },
};
