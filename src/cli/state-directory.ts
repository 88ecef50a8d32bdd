import { resolve } from 'node:path';
import type { Command } from 'commander';
import { createFileStore, defaultJobDirectory, type JobStore } from '../index.js';
import type { Io } from './io.js';
import { UsageError } from './usage-error.js';

export interface StateFlags {
  readonly stateDir?: string;
}

/** Where the records of unfinished uploads are. */
export interface JobState {
  readonly store: JobStore;
  /** Absolute; undefined: the default one. */
  readonly directory: string | undefined;
}

export const STATE_DIRECTORY_VARIABLE = 'BITS_UPLOAD_STATE_DIR';

export function addStateOption(command: Command): Command {
  return command.option(
    '--state-dir <dir>',
    `directory that keeps unfinished uploads (default: ${STATE_DIRECTORY_VARIABLE} of the ` +
      "environment, else where your system keeps applications' data)",
  );
}

/** @throws UsageError */
export function openJobState({ stateDir }: StateFlags, { env }: Pick<Io, 'env'>): JobState {
  if (stateDir === '') throw new UsageError('--state-dir needs the name of a directory, not ""');
  const given = stateDir ?? (env[STATE_DIRECTORY_VARIABLE] || undefined);
  const directory = given && resolve(given);
  return { store: createFileStore({ directory }), directory };
}

/** The directory's name, for messages. */
export async function nameOf({ directory }: JobState): Promise<string> {
  return directory ?? (await defaultJobDirectory());
}
