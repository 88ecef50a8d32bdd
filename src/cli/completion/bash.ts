import { type Completed, type CompletedCommand, LIST_IDS } from './words.js';

/** For bash 3.2 and later, which macOS has; without the package bash-completion. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name);
  return `# bash completion of bits-upload; made by: bits-upload completion bash
_bits_upload() {
  local cur=\${COMP_WORDS[COMP_CWORD]} option=\${COMP_WORDS[COMP_CWORD-1]} command= word
  # bash splits --option=value in three.
  if [ "$cur" = = ]; then
    cur=
  elif [ "$option" = = ]; then
    option=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${names.join('|')}) command=$word; break ;;
    esac
  done
  case $command:$option in
${commands.flatMap(valueCases).join('\n')}
  esac
  case $command:$cur in
    :-*) _bits_upload_words '--help --version' ;;
${commands
  .filter(({ options }) => options.length > 0)
  .map(optionCase)
  .join('\n')}
    :*) _bits_upload_words '${names.join(' ')}' ;;
${commands
  .filter(({ values }) => values !== 'nothing')
  .map(argumentCase)
  .join('\n')}
  esac
}
_bits_upload_words() {
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}
_bits_upload_paths() {
  local name
  compopt -o filenames 2>/dev/null
  # Not by an array of words, in which bash would replace patterns.
  while IFS= read -r name; do
    COMPREPLY+=("$name")
  done < <(compgen "$1" -- "$cur")
}
complete -F _bits_upload bits-upload
`;
}

function valueCases({ name, options }: CompletedCommand): string[] {
  return options.flatMap(({ short, long, value }) => {
    if (value === undefined) return [];
    const spellings = [short, long].filter((one) => one !== undefined);
    const patterns = spellings.map((one) => `${name}:${one}`).join('|');
    return [`    ${patterns}) ${actionOf(value)}; return ;;`];
  });
}

function optionCase({ name, options }: CompletedCommand): string {
  return `    ${name}:-*) _bits_upload_words '${options.map(({ long }) => long).join(' ')}' ;;`;
}

function argumentCase({ name, values }: CompletedCommand): string {
  return `    ${name}:*) ${actionOf(values)} ;;`;
}

function actionOf(value: Completed): string {
  if (value === 'files') return '_bits_upload_paths -f';
  if (value === 'directories') return '_bits_upload_paths -d';
  if (value === 'ids') return `_bits_upload_words "$(${LIST_IDS} | cut -f 1)"`;
  return value === 'nothing' ? ':' : `_bits_upload_words '${value.join(' ')}'`;
}
