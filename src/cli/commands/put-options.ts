import { type Command, Option } from 'commander';
import type { Priority } from '../../index.js';
import { DEFAULTS, PRIORITIES } from '../../internal.js';
import { formatBytes } from '../render/units.js';
import type { StateFlags } from '../state-directory.js';
import { another, UsageError } from '../values.js';
import {
  addBatchOptions,
  addRemoveOption,
  addReplyOptions,
  addTransferOptions,
  type BatchFlags,
  type OutputFlags,
  type RemoveFlags,
  type ReplyFlags,
  type TransferFlags,
} from './upload-options.js';

/** Which files, and where they go. */
export interface SelectionFlags {
  readonly recursive?: boolean;
  readonly followLinks?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly filesFrom?: string;
  /** The paths of `--files-from` end in NUL. */
  readonly null?: boolean;
  readonly manifest?: string;
  readonly size?: string;
  readonly spoolSize?: string;
  readonly checksum?: 'sha256';
}

/** The options of `put` as the command line has them. */
export interface PutFlags
  extends TransferFlags,
    BatchFlags,
    ReplyFlags,
    RemoveFlags,
    OutputFlags,
    StateFlags,
    SelectionFlags {
  readonly priority?: Priority;
  readonly skipExisting?: boolean;
  /** False after `--no-resume`. */
  readonly resume: boolean;
}

/** What other programs call it, and what it is here. */
const OTHER_SPELLINGS: readonly RefusedOption[] = [
  ['-s, --silent', 'use --quiet'],
  ['-T, --upload-file', 'use PATH URL, without an option'],
  ['-R', 'use -r or --recursive'],
  ['--ignore-existing', 'use --skip-existing'],
  ['--bwlimit', 'use --limit-rate'],
];

/** An option that users expect, and why a command has none. */
export type RefusedOption = readonly [flags: string, why: string];

/** Has a command say more of options that it has not than that they are unknown. */
export function refuseOptions(command: Command, refused: readonly RefusedOption[]): Command {
  for (const [flags, why] of refused) {
    const option = new Option(flags).hideHelp();
    command.addOption(option).on(`option:${option.name()}`, () => {
      const name = flags.replace(', ', ' or ').replace(/ <.*/, '');
      throw new UsageError(`${command.name()} has no option ${name}: ${why}`);
    });
  }
  return command;
}

/** Which files, and where they go: of all commands that take what `put` takes. */
export function addSelectionOptions(command: Command): Command {
  return command
    .option('-r, --recursive', 'upload the files in directories, and keep their tree')
    .option('--follow-links', 'upload what symbolic links in directories lead to')
    .option(
      '--include <glob>',
      "only files that match, such as '*.log' or 'src/**'; can be given several times",
      another,
    )
    .option(
      '--exclude <glob>',
      'not the files and directories that match; can be given several times',
      another,
    )
    .option(
      '--files-from <file>',
      'upload the files that this file lists, one a line; - is standard input',
    )
    .option('-0, --null', 'the paths in --files-from end in a NUL, as those of find -print0')
    .option(
      '--manifest <file>',
      'upload what this CSV file with the columns Source,Destination lists',
    )
    .option('--dry-run', 'only list what would be uploaded where')
    .addOption(
      new Option(
        '--priority <priority>',
        'in a queue with other uploads, by default normal',
      ).choices(PRIORITIES),
    );
}

/** Every option of `put` but those of its output and its records. */
export function addPutOptions(command: Command): Command {
  addRemoveOption(
    addSelectionOptions(command).option(
      '--skip-existing',
      'skip files of which the server says that it has one of the same size',
    ),
  )
    .addOption(
      new Option(
        '--checksum <algorithm>',
        'add the digest of each local file to its result',
      ).choices(['sha256']),
    )
    .option('--fail-fast', 'stop when the first file fails');
  addReplyOptions(addTransferOptions(addBatchOptions(command)))
    .option(
      '--reply-dir <dir>',
      'write the reply to each file to a new file in this directory, with the same path as below the URL',
    )
    .option('--reply-optional', 'succeed even if the server has no reply')
    .option('--size <size>', 'size of standard input, which is then sent while it is read')
    .option(
      '--spool-size <size>',
      'maximum size of standard input, which is first stored in the temporary directory (TMPDIR): ' +
        `512MiB, 20GiB or bytes (default: ${formatBytes(DEFAULTS.spoolMaxBytes)})`,
    )
    .option('--no-resume', 'start over, and cancel an unfinished upload of the same file');
  return refuseOptions(command, OTHER_SPELLINGS);
}
