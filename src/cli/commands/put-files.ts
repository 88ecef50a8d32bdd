import { UploadJob, type UploadOptions } from '../../index.js';
import { type ExitCode, exitCodeOf } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import type { Io } from '../io.js';
import { createReporter } from '../render/create-reporter.js';
import type { Failure, Reporter } from '../render/reporter.js';
import { resumeCommand } from '../resume-command.js';
import { assertStandardInput } from '../standard-input.js';
import { openJobState } from '../state-directory.js';
import { connectionArguments } from './common-options.js';
import { HIDDEN_QUERY } from './find-jobs.js';
import { secretWarnings } from './network-options.js';
import { type PlannedUpload, type PutFlags, planUploads, STDIN } from './put-plan.js';
import { failureOf, runUploads } from './run-uploads.js';

/**
 * Uploads one file after the other; when one fails, the others go all the same.
 * @throws UsageError, BITS_ERR_ARGUMENT before anything is sent
 */
export async function uploadFiles(
  paths: readonly string[],
  flags: PutFlags,
  io: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  const state = openJobState(flags, io);
  const { signal } = interruption;
  const errands = planUploads(paths, flags, io).map(({ target, options }) => {
    const job = new UploadJob({ ...options, signal, store: state.store });
    const again = argumentsToGiveAgain(flags, options.url);
    return {
      target,
      source: options.source,
      open: () => job,
      resumeCommand: (id: string) => resumeCommand(id, state, again),
    };
  });
  const reporter = createReporter(flags, io);
  for (const warning of secretWarnings(flags)) reporter.warning(warning);
  const unreadable = await checkFiles(errands, reporter, io);
  if (unreadable.length > 0) return exitCodeOf(unreadable, unreadable.length);
  return runUploads(errands, {
    reporter,
    interruption,
    onDone: (url) => {
      if (!flags.json && !flags.reply) io.stdout.write(`${url}\n`);
    },
  });
}

/** What a record does not hold: secrets, and where a reply goes that has no name. */
function argumentsToGiveAgain(flags: PutFlags, url: URL): string[] {
  return [
    ...connectionArguments(flags),
    ...(url.search === '' ? [] : ['--url', `${url.origin}${url.pathname}${HIDDEN_QUERY}`]),
    ...(flags.reply ? ['--reply'] : []),
  ];
}

/** Opens every file once, so that a wrong name is told before the first byte is sent. */
async function checkFiles(
  uploads: readonly { target: PlannedUpload['target']; source: UploadOptions['source'] }[],
  reporter: Reporter,
  { stdin }: Io,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const { target, source } of uploads) {
    try {
      // Standard input can be opened only once.
      if (target.file === STDIN) assertStandardInput(stdin);
      else await tryToOpen(source);
    } catch (error) {
      const failure = failureOf(error);
      reporter.failed(target, failure);
      failures.push(failure);
    }
  }
  return failures;
}

async function tryToOpen(source: UploadOptions['source']): Promise<void> {
  if (typeof source !== 'object' || !('name' in source && 'open' in source)) return;
  const opened = await source.open();
  await opened.close();
}
