import { Argument } from 'commander';
import type { JobRecord } from '../../index.js';
import type { CliCommand, CommandContext } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { sayWarning } from '../render/messages.js';
import { openJobState } from '../state-directory.js';
import { UsageError } from '../values.js';
import { cancelJobs } from './cancel-jobs.js';
import { assertOneHost, findJobs } from './find-jobs.js';
import { secretWarnings } from './network-options.js';
import {
  CONNECTION_OPTIONS,
  type Flags,
  OUTPUT_OPTIONS,
  STATE_OPTIONS,
  URL_OF_UPLOAD,
} from './options.js';
import { reportError } from './report.js';
import { uploadOptions } from './upload-options.js';

const HELP = `
ID is the id of an unfinished upload, or its first characters if no other id
begins with them; bits-upload jobs lists the ids. The file need not exist any
more. Headers and the query of a URL are not stored: give them again.

If the server does not confirm that it removed the session, the upload can be
cancelled again; prune discards it when it is too old.

Standard output gets the id of each cancelled upload; with --json an object of
type "result" with id, file, url and freed.

Exit codes: 0 cancelled, 1 the server did not confirm it, another process is
uploading the file, or the file is stored already, 2 the command line is wrong,
4 the server or a proxy refuses the credentials, or requires some, 129 stopped
by SIGHUP, 130 by SIGINT, 143 by SIGTERM.`;

export const CANCEL: CliCommand = {
  summary: 'cancel unfinished uploads and free their sessions on the server',
  examples: ['bits-upload cancel 0190163d', "bits-upload cancel -u 'CORP\\me' 0190163d 0190163f"],
  help: HELP,
  argument: new Argument('[ids...]'),
  usage: 'ID…',
  options: [URL_OF_UPLOAD, ...CONNECTION_OPTIONS, ...STATE_OPTIONS, ...OUTPUT_OPTIONS],
  run: cancel,
};

async function cancel(
  ids: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<ExitCode> {
  if (ids.length === 0) throw new UsageError('cancel needs an ID: see bits-upload jobs');
  if (flags.url !== undefined && ids.length > 1) {
    throw new UsageError('--url can be given with only one ID');
  }
  const { io } = context;
  const options = uploadOptions(flags, context);
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  const state = openJobState(flags);
  let chosen: readonly JobRecord[];
  try {
    chosen = findJobs(await state.store.list(), ids);
    assertOneHost(
      chosen.map(({ url }) => url),
      options,
    );
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return reportError(error, io, flags);
  }
  const cancellations = chosen.map((record) => ({ record }));
  return cancelJobs(cancellations, options, flags, state, context);
}
