import type { Command } from 'commander';
import { DEFAULTS, MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from '../../index.js';
import { formatBytes, formatClock } from '../render/units.js';
import type { CommandContext } from './command-context.js';
import { uploadFiles } from './put-files.js';
import type { PutFlags } from './put-plan.js';

const EXAMPLES = `
FILE is a path, or - for standard input. A URL that ends in / gets the file's name appended; it
must end so when there is more than one FILE. All files are checked before the first is sent. They
go one after the other; when one fails, the others are sent all the same.

Standard output gets a line with its URL for each file that is in place, standard error everything
else. Credentials do not belong into the URL: pass a header.

Examples:
  bits-upload put dump.zip http://bits.example/uploads/
  bits-upload put dump.zip http://bits.example/uploads/monday.zip
  bits-upload put --json *.log http://bits.example/logs/ | jq -r 'select(.type=="result").url'
  tar c src | bits-upload put - http://bits.example/uploads/src.tar
  bits-upload put --header 'Authorization: Bearer …' --timeout 30s a.bin https://bits.example/in/
  bits-upload put --reply-file answer.xml order.xml http://bits.example/orders/

Exit codes: 0 all files are in place, 1 a file failed, 2 the command line is wrong and nothing was
sent, 130 stopped by SIGINT (Ctrl-C), 143 by SIGTERM.`;

/** Adds the options and the action of `put`. */
export function definePut(command: Command, { io, interruption, exitWith }: CommandContext): void {
  command
    .usage('[options] FILE… URL')
    .description('Upload files to a BITS server, one after the other.')
    .argument('[paths...]')
    .option(
      '--fragment-size <size>',
      `fixed size of a fragment: 128KiB, 4MiB, 1.5MB or bytes, from ${formatBytes(MIN_FRAGMENT_BYTES)} ` +
        `to ${formatBytes(MAX_FRAGMENT_BYTES)} (default: learnt from the server's answers)`,
    )
    .option(
      '--timeout <duration>',
      'time for one answer: 500ms, 3s, 5m or 1h ' +
        `(default: ${minutes(DEFAULTS.answerTimeoutMs)}, and ` +
        `${minutes(DEFAULTS.stallTimeoutMs)} without a byte sent)`,
    )
    .option(
      '--retries <n>',
      'retries in a row without headway (default: as many as fit into ' +
        `${minutes(DEFAULTS.noProgressTimeoutMs)})`,
    )
    .option(
      '--header <header>',
      "'Name: value', sent with every request; may be given again",
      (header: string, others: string[] | undefined) => [...(others ?? []), header],
    )
    .option('--reply', "write the server's reply to standard output, instead of the URL")
    .option('--reply-file <path>', "write the server's reply to a file that is not there yet")
    .option('--reply-optional', 'succeed also when the server has no reply')
    .option('--json', 'one JSON object a line on standard output, progress included')
    .option('--quiet', 'no progress; warnings and errors only')
    .addHelpText('after', EXAMPLES)
    .action(async (paths: string[], flags: PutFlags) => {
      exitWith(await uploadFiles(paths, flags, io, interruption));
    });
}

function minutes(durationMs: number): string {
  return durationMs % 60_000 === 0 ? `${durationMs / 60_000}m` : formatClock(durationMs);
}
