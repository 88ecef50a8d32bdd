import type { Command } from 'commander';
import { DEFAULTS } from '../../index.js';
import { formatBytes } from '../render/units.js';
import { addStateOption } from '../state-directory.js';
import type { CommandContext } from './command-context.js';
import { addOutputOptions, addTransferOptions } from './common-options.js';
import { uploadFiles } from './put-files.js';
import type { PutFlags } from './put-plan.js';

const HELP = `
FILE is a path, or - for standard input. A URL that ends in / gets the file's name appended; it
must end so when there is more than one FILE. All files are checked before the first is sent. They
go one after the other; when one fails, the others are sent all the same.

An upload that did not come to its end is gone on with by the same command, or by the command
resume; see also: jobs, cancel, prune. Standard input cannot be gone on with.

Standard output gets a line with its URL for each file that is in place, standard error everything
else. Credentials do not belong into the URL: pass a header.

Examples:
  bits-upload put dump.zip http://bits.example/uploads/
  bits-upload put dump.zip http://bits.example/uploads/monday.zip
  bits-upload put --json *.log http://bits.example/logs/ | jq -r 'select(.type=="result").url'
  tar c src | bits-upload put - http://bits.example/uploads/src.tar
  bits-upload put --header 'Authorization: Bearer …' --timeout 30s a.bin https://bits.example/in/
  bits-upload put --reply-file answer.xml order.xml http://bits.example/orders/

Exit codes:
  0    all files are in place
  1    a file failed for good, or another process is uploading it
  2    the command line is wrong, and nothing was sent
  4    the server or a proxy does not take the credentials, or asks for some
  5    not done, but what was sent is kept: resume it
  6    the file changed during the upload: start anew
  130  stopped by SIGINT (Ctrl-C), 143 by SIGTERM; resume it
Of several files the first of 4, 1, 6, 5 that happened counts.`;

/** Adds the options and the action of `put`. */
export function definePut(command: Command, { io, interruption, exitWith }: CommandContext): void {
  command
    .usage('[options] FILE… URL')
    .description('Upload files to a BITS server, one after the other.')
    .argument('[paths...]');
  addTransferOptions(command)
    .option('--reply', "write the server's reply to standard output, instead of the URL")
    .option('--reply-file <path>', "write the server's reply to a file that is not there yet")
    .option('--reply-optional', 'succeed also when the server has no reply')
    .option(
      '--spool-size <size>',
      'most bytes of standard input, which is stored in the temp directory (TMPDIR) first: 512MiB, ' +
        `20GiB or bytes (default: ${formatBytes(DEFAULTS.spoolMaxBytes)})`,
    )
    .option('--no-resume', 'begin anew, and give up an unfinished upload of the same file');
  addOutputOptions(addStateOption(command))
    .addHelpText('after', HELP)
    .action(async (paths: string[], flags: PutFlags) => {
      exitWith(await uploadFiles(paths, flags, io, interruption));
    });
}
