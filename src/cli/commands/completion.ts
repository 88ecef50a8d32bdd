import { Argument, type Command } from 'commander';
import { bashScript } from '../completion/bash.js';
import { fishScript } from '../completion/fish.js';
import { powershellScript } from '../completion/powershell.js';
import { type CompletedCommand, completedCommands } from '../completion/words.js';
import { zshScript } from '../completion/zsh.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { withExamples } from '../help.js';

const SCRIPTS = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
} satisfies Record<string, (commands: readonly CompletedCommand[]) => string>;

const EXAMPLES = [
  'source <(bits-upload completion bash)',
  'source <(bits-upload completion zsh)',
  'bits-upload completion fish > ~/.config/fish/completions/bits-upload.fish',
  'bits-upload completion powershell | Out-String | Invoke-Expression',
];

const HELP = `
Put the line for bash into ~/.bashrc, that for zsh into ~/.zshrc after compinit,
and that for PowerShell into the file that $PROFILE names. The one for fish is
needed once, and again after an update of bits-upload.

Exit codes: 0 printed, 2 the command line is wrong.`;

/** Adds the action of `completion`; the program has loaded all commands by then. */
export function defineCompletion(command: Command, { io, exitWith }: CommandContext): void {
  command
    .description(withExamples('Print a script by which a shell completes bits-upload.', EXAMPLES))
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', HELP)
    .action((shell: keyof typeof SCRIPTS) => {
      const { parent: program } = command;
      if (program !== null) io.stdout.write(SCRIPTS[shell](completedCommands(program)));
      exitWith(EXIT.done);
    });
}
