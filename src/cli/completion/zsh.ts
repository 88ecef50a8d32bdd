import {
  brief,
  type Completed,
  type CompletedCommand,
  type CompletedOption,
  LIST_IDS,
} from './words.js';

export function zshScript(commands: readonly CompletedCommand[]): string {
  return `#compdef bits-upload
# zsh completion of bits-upload; made by: bits-upload completion zsh
_bits-upload() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
${commands.map(({ name, help }) => `    ${quoted(`${name}:${help}`)}`).join('\n')}
  )
  _arguments -C \\
    '(- *)'{-h,--help}'[print this help]' \\
    '(- *)'{-V,--version}'[print the version]' \\
    '1:command:->command' \\
    '*::argument:->argument' && return
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${commands.map(commandCase).join('\n')}
      esac ;;
  esac
}
_bits-upload-ids() {
  local -a uploads=("\${(@f)$(${LIST_IDS})}")
  # An id and its file stand on either side of the colon.
  uploads=("\${(@)uploads/$'\\t'/:}")
  [ -n "$uploads[1]" ] && _describe -V 'unfinished upload' uploads
}
if [ "$funcstack[1]" = _bits-upload ]; then
  _bits-upload "$@"
else
  compdef _bits-upload bits-upload
fi
`;
}

function commandCase({ name, options, values }: CompletedCommand): string {
  const specs = [...options.map(optionSpec), ...valueSpec(values)];
  return `        ${name}) _arguments -s -S ${specs.map((spec) => `\\\n          ${spec}`).join(' ')} ;;`;
}

function optionSpec({ short, long, help, value, valueName }: CompletedOption): string {
  const text = `[${escaped(brief(help))}]`;
  const after = value === undefined ? '' : `:${escaped(valueName)}:${actionOf(value)}`;
  // With = a value may follow in the same word.
  const name = value === undefined ? long : `${long}=`;
  if (short === undefined) return quoted(`*${name}${text}${after}`);
  const shortName = value === undefined ? short : `${short}+`;
  return `${quoted('*')}{${shortName},${name}}${quoted(`${text}${after}`)}`;
}

function valueSpec(values: Completed): string[] {
  return values === 'nothing' ? [] : [quoted(`*:argument:${actionOf(values)}`)];
}

function actionOf(value: Completed): string {
  if (value === 'files') return '_files';
  if (value === 'directories') return '_files -/';
  if (value === 'ids') return '_bits-upload-ids';
  return value === 'nothing' ? ' ' : `(${value.join(' ')})`;
}

/** For the brackets and colons of a specification. */
function escaped(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
