import type { Command } from 'commander';
import { UploadJob } from '../../index.js';
import { DEFAULTS } from '../../internal.js';
import type { CommandContext } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { withExamples } from '../help.js';
import { formatBytes } from '../render/units.js';
import { assertStandardInput } from '../standard-input.js';
import { addStateOption, openJobState } from '../state-directory.js';
import { HIDDEN_QUERY } from './find-jobs.js';
import { type PlannedUpload, type PutFlags, planUploads } from './put-plan.js';
import { UploadBatch, type UploadTask } from './upload-batch.js';
import {
  addBatchOptions,
  addOutputOptions,
  addReplyOptions,
  addTransferOptions,
  addVerboseOption,
  connectionArguments,
  transferArguments,
} from './upload-options.js';

const EXAMPLES = [
  'bits-upload put dump.zip http://bits.example/uploads/',
  'bits-upload put *.log http://bits.example/logs/',
  'tar c src | bits-upload put - http://bits.example/uploads/src.tar',
  "bits-upload put -u 'CORP\\me' dump.zip https://bits.example/uploads/",
];

const HELP = `
FILE is a path, or - for standard input. If the URL ends in /, the name of the
file is appended; with more than one FILE it must end in /. All files are
checked before the first one is sent. They are uploaded several at once
(--transfers); a file that cannot be read and a failed upload do not stop the
others. But nothing more is sent to a server that refuses the credentials, or
that does not respond to two uploads in a row.

Run the same command again to resume an unfinished upload, or use the command
resume; see also jobs, cancel and prune. An upload of standard input cannot be
resumed.

Standard output gets one line for each stored file: its URL. Everything else is
written to standard error. Do not put credentials into the URL: use --user or
--header.

More examples:
  bits-upload put --json a b http://bits.example/logs/ |
    jq -r 'select(.type=="result").url'
  bits-upload put -H 'Authorization: Bearer …' a.bin https://bits.example/in/
  bits-upload put --reply-file answer.xml a.xml http://bits.example/orders/

Exit codes:
  0    all files are stored on the server
  1    an upload failed, or another process is uploading the file
  2    the command line is wrong, and nothing was sent
  3    some files failed, the others are stored
  4    the server or a proxy refuses the credentials, or requires some
  5    not done, but resumable: what was sent is kept
  6    the file changed during the upload: upload it again
  129  stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM: resume it
Of several failures the first of 4, 1, 6, 5 decides; 3 takes the place of 1 and
6 if other files are stored.`;

/** Adds the options and the action of `put`. */
export function definePut(command: Command, context: CommandContext): void {
  command
    .usage('[options] FILE… URL')
    .description(withExamples('Upload files to a BITS server.', EXAMPLES))
    .argument('[paths...]');
  addReplyOptions(addTransferOptions(addBatchOptions(command)))
    .option('--reply-optional', 'succeed even if the server has no reply')
    .option(
      '--spool-size <size>',
      'maximum size of standard input, which is first stored in the temporary directory (TMPDIR): ' +
        `512MiB, 20GiB or bytes (default: ${formatBytes(DEFAULTS.spoolMaxBytes)})`,
    )
    .option('--no-resume', 'start over, and cancel an unfinished upload of the same file');
  addVerboseOption(addOutputOptions(addStateOption(command)))
    .addHelpText('after', HELP)
    .action(async (paths: string[], flags: PutFlags) => {
      context.exitWith(await put(paths, flags, context));
    });
}

/** @throws UsageError, BITS_ERR_ARGUMENT before anything is sent */
async function put(
  paths: readonly string[],
  flags: PutFlags,
  context: CommandContext,
): Promise<ExitCode> {
  const state = openJobState(flags, context.io);
  const planned = planUploads(paths, flags, context);
  // Wrong options are the command line's fault, and not that of a file.
  for (const { options } of planned) new UploadJob({ ...options, store: state.store });
  const isOneFile = planned.length === 1;
  const batch = new UploadBatch(flags, state, context, { isOneFile });
  const tasks: UploadTask[] = [];
  // All of them first, so that a wrong name is reported before the first byte is sent.
  for (const upload of planned) {
    const { target, options } = upload;
    try {
      await checkFile(upload, context);
      tasks.push({ target, options, argumentsToGiveAgain: resumeArguments(flags, options.url) });
    } catch (error) {
      batch.failed(target, failureOf(error));
    }
  }
  return batch.upload(tasks);
}

/** Secrets, and the destination of a reply without a name: no record holds them. */
function resumeArguments(flags: PutFlags, url: URL): string[] {
  return [
    ...connectionArguments(flags),
    ...(url.search === '' ? [] : ['--url', `${url.origin}${url.pathname}${HIDDEN_QUERY}`]),
    ...transferArguments(flags),
  ];
}

/** @throws UsageError, BITS_ERR_ARGUMENT when a file cannot be uploaded */
async function checkFile({ file }: PlannedUpload, { io }: CommandContext): Promise<void> {
  // Standard input can be opened only once.
  if (file === undefined) assertStandardInput(io.stdin);
  else await (await file.open()).close();
}
