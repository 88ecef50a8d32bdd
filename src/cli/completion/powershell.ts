import { brief, type CompletedCommand } from './words.js';

/** Where the script offers nothing, PowerShell completes files. */
export function powershellScript(commands: readonly CompletedCommand[]): string {
  return `# PowerShell completion of bits-upload; made by: bits-upload completion powershell
Register-ArgumentCompleter -Native -CommandName bits-upload -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $commands = [ordered]@{
${commands.map(({ name, help }) => `    ${quoted(name)} = ${quoted(help)}`).join('\n')}
  }
  $options = @{
${commands.map(optionTable).join('\n')}
  }
  $values = @{
${commands.flatMap(valueLines).join('\n')}
  }
  $before = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.Extent.Text })
  $command = $before | Where-Object { $commands.Contains($_) } | Select-Object -First 1
  $last = $before | Select-Object -Last 1
  if (-not $command) { $found = $commands }
  elseif ($values.Contains("$command $last")) { $found = $values["$command $last"] }
  elseif ($wordToComplete -like '-*') { $found = $options[$command] }
  elseif ($command -in @(${commands
    .filter(({ values }) => values === 'ids')
    .map(({ name }) => quoted(name))
    .join(', ')})) {
    $found = [ordered]@{}
    bits-upload jobs --ids 2>$null | ForEach-Object {
      $id, $file = $_ -split "\`t", 2
      $found[$id] = $file
    }
  }
  else { $found = $values[$command] }
  if ($found) {
    $found.GetEnumerator() | Where-Object { $_.Key -like "$wordToComplete*" } | ForEach-Object {
      [System.Management.Automation.CompletionResult]::new(
        $_.Key, $_.Key, 'ParameterValue', $_.Value)
    }
  }
}
`;
}

function optionTable({ name, options }: CompletedCommand): string {
  const rows = options.map(({ long, help }) => `      ${quoted(long)} = ${quoted(brief(help))}`);
  return `    ${quoted(name)} = [ordered]@{\n${rows.join('\n')}\n    }`;
}

function valueLines({ name, options, values }: CompletedCommand): string[] {
  const places: (readonly [string, typeof values | undefined])[] = [
    [name, values],
    ...options.map(({ long, value }) => [`${name} ${long}`, value] as const),
  ];
  return places.flatMap(([place, words]) => {
    if (words === undefined || typeof words === 'string') return [];
    const rows = words.map((word) => `${quoted(word)} = ${quoted(word)}`);
    return [`    ${quoted(place)} = [ordered]@{ ${rows.join('; ')} }`];
  });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
