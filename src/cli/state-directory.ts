import { resolve } from 'node:path';
import { createFileStore, type JobStore } from '../index.js';
import { defaultJobDirectory } from '../internal.js';
import type { Flags } from './commands/options.js';
import { UsageError } from './values.js';

/** The records of unfinished uploads. */
export interface JobState {
  readonly store: JobStore;
  /** Undefined: the default directory. */
  readonly directory: string | undefined;
  readonly trustsDirectory: boolean;
  /** The arguments that choose these records in another command. */
  readonly arguments: readonly string[];
}

/** @throws UsageError */
export function openJobState({ stateDir, trustStateDir = false }: Flags): JobState {
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
