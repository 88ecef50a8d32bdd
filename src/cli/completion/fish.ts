import { brief, type Completed, type CompletedCommand, HELP, LIST_IDS } from './words.js';

export function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = [
    '# fish completion of bits-upload; made by: bits-upload completion fish',
    'complete -c bits-upload -f',
    'complete -c bits-upload -n __fish_use_subcommand -s V -l version -d "print the version"',
    `complete -c bits-upload -n __fish_use_subcommand -s h -l help -d ${quoted(HELP.help)}`,
    ...commands.flatMap(linesOf),
  ];
  return `${lines.join('\n')}\n`;
}

function linesOf({ name, help, options, values }: CompletedCommand): string[] {
  const start = `complete -c bits-upload -n ${quoted(`__fish_seen_subcommand_from ${name}`)}`;
  return [
    `complete -c bits-upload -n __fish_use_subcommand -a ${name} -d ${quoted(help)}`,
    ...(values === 'nothing' ? [] : [`${start} ${valueText(values).replace(/^-r /, '')}`]),
    ...options.map(({ short, long, help, value }) => {
      const names = `${short === undefined ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
      const after = value === undefined ? '' : ` ${valueText(value)}`;
      return `${start} ${names}${after} -d ${quoted(brief(help))}`;
    }),
  ];
}

function valueText(value: Completed): string {
  if (value === 'files') return '-r -F';
  if (value === 'directories') return '-r -f -a "(__fish_complete_directories)"';
  if (value === 'ids') return `-r -f -k -a "(${LIST_IDS})"`;
  return value === 'nothing' ? '-r -f' : `-r -f -a ${quoted(value.join(' '))}`;
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
