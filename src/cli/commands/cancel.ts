import type { Command } from 'commander';
import type { JobRecord } from '../../index.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';
import { sayWarning } from '../render/messages.js';
import { addStateOption, openJobState, type StateFlags } from '../state-directory.js';
import { UsageError } from '../usage-error.js';
import type { CommandContext } from './command-context.js';
import {
  addConnectionOptions,
  addOutputOptions,
  type ConnectionFlags,
  connectionOptions,
  type OutputFlags,
} from './common-options.js';
import { findJobs, urlOption } from './find-jobs.js';
import { giveUpJobs, tellFailure } from './give-up-jobs.js';
import { secretWarnings } from './network-options.js';
import { failureOf } from './run-uploads.js';

interface CancelFlags extends ConnectionFlags, OutputFlags, StateFlags {
  readonly url?: string;
}

const HELP = `
ID is the id of an unfinished upload, or a beginning that no other one has; bits-upload jobs lists
them. The file need not be there any more. Neither headers nor the query of a URL are kept: give
them again.

Standard output gets the id of each upload that was given up; with --json an object of type "result"
with id, file, url and freed, which is false when the server did not confirm that it dropped its
session: it then keeps it until its time-out.

Exit codes: 0 given up, 1 another process is uploading it or it is in place already, 2 the command
line is wrong, 130 stopped by SIGINT, 143 by SIGTERM.`;

/** Adds the options and the action of `cancel`. */
export function defineCancel(
  command: Command,
  { io, interruption, exitWith }: CommandContext,
): void {
  command
    .usage('[options] ID…')
    .description("Give up unfinished uploads and free the server's sessions.")
    .argument('[ids...]')
    .option('--url <url>', 'the URL once more, when it has a query');
  addOutputOptions(addStateOption(addConnectionOptions(command)))
    .addHelpText('after', HELP)
    .action(async (ids: string[], flags: CancelFlags) => {
      exitWith(await cancelJobs(ids, flags, io, interruption));
    });
}

async function cancelJobs(
  ids: readonly string[],
  flags: CancelFlags,
  io: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  if (ids.length === 0) throw new UsageError('cancel needs an ID: see bits-upload jobs');
  if (flags.url !== undefined && ids.length > 1) {
    throw new UsageError('--url goes with one ID only');
  }
  const options = connectionOptions(flags, io.env);
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  const state = openJobState(flags, io);
  let chosen: readonly JobRecord[];
  try {
    chosen = findJobs(await state.store.list(), ids);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    tellFailure({ file: null, url: null }, failureOf(error), io, flags);
    return EXIT.failed;
  }
  const farewells = chosen.map((record) => ({
    record,
    options: () => ({ ...options, ...urlOption(record, flags.url) }),
  }));
  return giveUpJobs(farewells, { state, io, flags, interruption });
}
