import { Argument } from 'commander';
import { bashScript } from '../completion/bash.js';
import { fishScript } from '../completion/fish.js';
import { powershellScript } from '../completion/powershell.js';
import { type CompletedCommand, completedCommands } from '../completion/words.js';
import { zshScript } from '../completion/zsh.js';
import type { CliCommand } from '../context.js';
import { EXIT } from '../exit-codes.js';

const SCRIPTS = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
} satisfies Record<string, (commands: readonly CompletedCommand[]) => string>;

const HELP = `
Put the line for bash into ~/.bashrc, that for zsh into ~/.zshrc after compinit,
and that for PowerShell into the file that $PROFILE names. The one for fish is
needed once, and again after an update of bits-upload.

Exit codes: 0 printed, 2 the command line is wrong.`;

export const COMPLETION: CliCommand = {
  summary: 'print a script by which a shell completes commands and options',
  description: 'Print a script by which a shell completes bits-upload.',
  examples: [
    'source <(bits-upload completion bash)',
    'source <(bits-upload completion zsh)',
    'bits-upload completion fish > ~/.config/fish/completions/bits-upload.fish',
    'bits-upload completion powershell | Out-String | Invoke-Expression',
  ],
  help: HELP,
  argument: new Argument('<shell>').choices(Object.keys(SCRIPTS)),
  options: [],
  async run([shell], _, { io, program }) {
    io.stdout.write(SCRIPTS[shell as keyof typeof SCRIPTS](completedCommands(program)));
    return EXIT.done;
  },
};
