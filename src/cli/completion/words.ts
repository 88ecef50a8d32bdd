import type { Command, Option } from 'commander';

/**
 * What a shell can complete after a word: files, directories, ids of unfinished uploads, one of some
 * words, or nothing.
 */
export type Completed = 'files' | 'directories' | 'ids' | 'nothing' | readonly string[];

/** Prints an id, a tabulator and a file on each line. */
export const LIST_IDS = 'bits-upload jobs --ids 2>/dev/null';

export interface CompletedOption {
  /** `-H`; undefined: none. */
  readonly short: string | undefined;
  /** `--header` */
  readonly long: string;
  readonly help: string;
  /** Undefined: it takes no value. */
  readonly value: Completed | undefined;
  /** Of the value, for shells that show it. */
  readonly valueName: string;
}

export interface CompletedCommand {
  readonly name: string;
  readonly help: string;
  readonly options: readonly CompletedOption[];
  readonly values: Completed;
}

/** What can stand where on the command line, from the options that the program declares. */
export function completedCommands(program: Command): CompletedCommand[] {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    help: command.summary(),
    options: [...visible(command).map(completed), HELP],
    values: valuesOf(command),
  }));
  const names = commands.map(({ name }) => name);
  const help = { name: 'help', help: 'print the help of a command', options: [], values: names };
  return [...commands, help];
}

export const HELP: CompletedOption = {
  short: '-h',
  long: '--help',
  help: 'print this help',
  value: undefined,
  valueName: '',
};

function visible({ options }: Command): Option[] {
  return options.filter(({ hidden, long }) => !hidden && long !== undefined);
}

function completed(option: Option): CompletedOption {
  const { short, long = '', description, argChoices, flags } = option;
  const [, name] = /[<[](.*?)[>\]]/.exec(flags) ?? [];
  const kinds = { file: 'files', path: 'files', dir: 'directories' } as const;
  const kind = name === undefined ? undefined : (kinds[name as 'file'] ?? 'nothing');
  return { short, long, help: description, value: argChoices ?? kind, valueName: name ?? '' };
}

function valuesOf({ registeredArguments: [argument] }: Command): Completed {
  if (argument === undefined) return 'nothing';
  const kinds = { paths: 'files', ids: 'ids' } as const;
  return argument.argChoices ?? kinds[argument.name() as 'ids'] ?? 'nothing';
}

/** The first words of a help, for a narrow list. */
export function brief(help: string): string {
  return help.split(/[;(]|: /)[0]?.trim() ?? help;
}
