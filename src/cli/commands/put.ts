import { Argument, Option } from 'commander';
import { codeOf } from '../../common/error-like.js';
import { isBitsError, UploadJob, type UploadOptions } from '../../index.js';
import { DEFAULTS } from '../../internal.js';
import type { CliCommand, CommandContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { say } from '../render/text.js';
import { formatBytes } from '../render/units.js';
import { type JobState, openJobState } from '../state-directory.js';
import { FinishedFiles } from '../tree/finished-files.js';
import type { UploadPlan } from '../tree/planned.js';
import { UsageError } from '../values.js';
import { assertOneHost } from './find-jobs.js';
import { type Flags, refusedOption, SELECTION_OPTIONS, UPLOAD_OPTIONS } from './options.js';
import { planUploads } from './put-plan.js';
import { PutUploads } from './put-uploads.js';
import { UploadBatch } from './upload-batch.js';
import { checkReplyFlags, uploadOptions } from './upload-options.js';

const HELP = `
PATH is a file, a directory with --recursive, or - for standard input. If the
URL ends in /, the name of the file is appended; for more than one file it must
end in /. Of a directory the name is kept as well: photos/a.jpg goes to
URL/photos/a.jpg; with photos/ or . it goes to URL/a.jpg. The files that the
command names are checked before the first one is sent. They are uploaded
several at once (--transfers); a file that cannot be read and a failed upload do
not stop the others. But nothing more is sent to a server that refuses the
credentials, or that does not respond to two uploads in a row.

Instead of PATH: --files-from LIST [DIRECTORY] URL, where the paths in the list
are those below the directory; or --manifest FILE.csv alone. A glob without a /
stands for a name at any depth, one with a / for the path in the directory.

Run the same command again to resume an unfinished upload, or use the command
resume; see also jobs, cancel and prune. Of several files, those that are stored
are not sent again until all of them are, unless their size or time has changed;
--no-resume sends them again. An upload of standard input cannot be resumed.

Standard output gets one line for each stored file: its URL. Everything else is
written to standard error. Do not put credentials into the URL: use --user or
--header.

More examples:
  bits-upload put -r --exclude '*.tmp' photos http://bits.example/uploads/
  find . -newer mark -type f -print0 |
    bits-upload put -0 --files-from - http://bits.example/in/
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

/** What other programs call it, and what it is here. */
const OTHER_SPELLINGS = [
  ['-s, --silent', 'use --quiet'],
  ['-T, --upload-file', 'use PATH URL, without an option'],
  ['-R', 'use -r or --recursive'],
  ['--ignore-existing', 'use --skip-existing'],
  ['--bwlimit', 'use --limit-rate'],
] as const;

export const PUT: CliCommand = {
  summary: 'upload files to a BITS server',
  examples: [
    'bits-upload put dump.zip http://bits.example/uploads/',
    'bits-upload put -r photos http://bits.example/uploads/',
    'tar c src | bits-upload put - http://bits.example/uploads/src.tar',
    "bits-upload put -u 'CORP\\me' dump.zip https://bits.example/uploads/",
  ],
  help: HELP,
  argument: new Argument('[paths...]'),
  usage: 'PATH… URL',
  options: [
    ...SELECTION_OPTIONS,
    ...UPLOAD_OPTIONS,
    new Option(
      '--skip-existing',
      'skip files of which the server says that it has one of the same size',
    ),
    new Option('--checksum <algorithm>', 'add the digest of each local file to its result').choices(
      ['sha256'],
    ),
    new Option('--fail-fast', 'stop when the first file fails'),
    new Option(
      '--reply-dir <dir>',
      'write the reply to each file to a new file in this directory, with the same path as below the URL',
    ),
    new Option('--size <size>', 'size of standard input, which is then sent while it is read'),
    new Option(
      '--spool-size <size>',
      'maximum size of standard input, which is first stored in the temporary directory (TMPDIR): ' +
        `512MiB, 20GiB or bytes (default: ${formatBytes(DEFAULTS.spoolMaxBytes)})`,
    ),
    new Option('--no-resume', 'start over, and cancel an unfinished upload of the same file'),
    ...OTHER_SPELLINGS.map(([flags, why]) => refusedOption('put', flags, why)),
  ],
  run: put,
};

/** @throws UsageError, BITS_ERR_ARGUMENT before anything is sent */
async function put(
  paths: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<ExitCode> {
  checkReplyFlags(flags);
  const state = openJobState(flags);
  const options = uploadOptions(flags, context);
  const plan = await planUploads(paths, flags, context);
  checkPlan(plan, flags, options, state);
  const batch = new UploadBatch(flags, state, context);
  let finished: FinishedFiles | undefined;
  try {
    finished = await openFinished(plan, flags, state);
  } catch (error) {
    if (isBitsError(error, 'BITS_ERR_STATE')) return batch.failedAtOnce(error);
    const why = isBitsError(error) ? failureOf(error).message : codeOf(error);
    const message = `it will not be remembered which files are stored: ${why}`;
    batch.reporter.warning({ code: 'batch-not-kept', message });
  }
  const shared = { ...options, priority: flags.priority };
  const upload = new PutUploads(flags, shared, batch, finished);
  let code: ExitCode = EXIT.failed;
  try {
    code = await batch.upload(upload.tasks(plan.files));
  } finally {
    await finished?.close({ isComplete: code === EXIT.done && upload.isAllAcknowledged });
  }
  const { reason } = context.interruption;
  if (reason !== undefined && reason.by !== 'stdout' && plan.isLazy && !batch.isAllFound) {
    say(context.io.stderr, 'bits-upload: stopped before all files were looked at');
  }
  return code;
}

/** What cannot work for any file is the command line's fault. */
function checkPlan(
  { isOneFile, urls }: UploadPlan,
  { reply, replyFile, replyDir, replyOptional, maxReplySize }: Flags,
  options: Partial<UploadOptions>,
  { store }: JobState,
): void {
  const isForOne = reply || replyFile !== undefined;
  if (isForOne && !isOneFile) {
    throw new UsageError('--reply and --reply-file are for one file: for several use --reply-dir');
  }
  const lonely = replyOptional ? '--reply-optional' : maxReplySize && '--max-reply-size';
  if (lonely && !isForOne && replyDir === undefined) {
    throw new UsageError(`${lonely} needs --reply, --reply-file or --reply-dir`);
  }
  assertOneHost(urls, options);
  for (const url of urls) {
    new UploadJob({ ...options, url, source: new Uint8Array(), name: 'name', store });
  }
}

/** @throws BITS_ERR_STATE when another process uploads the same files; others when there is no record */
async function openFinished(
  { key }: UploadPlan,
  { dryRun, resume }: Flags,
  state: JobState,
): Promise<FinishedFiles | undefined> {
  if (key === undefined) return undefined;
  if (dryRun) return resume ? FinishedFiles.look(key, state) : undefined;
  return FinishedFiles.open(key, state, { startsOver: !resume });
}
