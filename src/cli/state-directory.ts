import { resolve } from 'node:path';
import type { Command } from 'commander';
import { createFileStore, type JobStore } from '../index.js';
import { defaultJobDirectory } from '../internal.js';
import { UsageError } from './values.js';

export interface StateFlags {
  readonly stateDir?: string;
  readonly trustStateDir?: boolean;
}

/** The records of unfinished uploads. */
export interface JobState {
  readonly store: JobStore;
  /** Undefined: the default directory. */
  readonly directory: string | undefined;
  readonly trustsDirectory: boolean;
  /** The arguments that choose these records in another command. */
  readonly arguments: readonly string[];
}

export function addStateOption(command: Command): Command {
  return command
    .option(
      '--state-dir <dir>',
      'directory for the records of unfinished uploads (default: that of your system for ' +
        'application data)',
    )
    .option(
      '--trust-state-dir',
      'use this directory even if it belongs to another user, for network shares that show other ' +
        'owners: whoever can write there can upload your files anywhere',
    );
}

/** @throws UsageError */
export function openJobState({ stateDir, trustStateDir = false }: StateFlags): JobState {
  if (stateDir === '') throw new UsageError('--state-dir needs the name of a directory, not ""');
  const directory = stateDir && resolve(stateDir);
  return {
    store: createFileStore({ directory, trustDirectory: trustStateDir }),
    directory,
    trustsDirectory: trustStateDir,
    arguments: [
      ...(directory === undefined ? [] : ['--state-dir', directory]),
      ...(trustStateDir ? ['--trust-state-dir'] : []),
    ],
  };
}

/** The directory's name, for messages. */
export async function nameOf({ directory }: JobState): Promise<string> {
  return directory ?? (await defaultJobDirectory());
}
