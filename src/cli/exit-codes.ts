import type { Failure } from './render/reporter.js';

/**
 * What the program tells the shell.
 *
 * A command that a signal ended exits with 128 and the signal's number, `serve` too.
 */
export const EXIT = Object.freeze({
  done: 0,
  failed: 1,
  usage: 2,
  auth: 4,
  resumable: 5,
  sourceChanged: 6,
  sigint: 130,
  sigterm: 143,
});

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/**
 * Of several failures the one that has to be dealt with first: credentials, without which nothing
 * works; then what failed for good; then files that changed. So `resumable` says that nothing is
 * left to do but to resume.
 */
const PRECEDENCE = [EXIT.auth, EXIT.failed, EXIT.sourceChanged, EXIT.resumable];

/** @param errands how many things were to be done */
export function exitCodeOf(failures: readonly Failure[], errands: number): ExitCode {
  if (failures.length === 0) return EXIT.done;
  const nothingSent = failures.every(({ code }) => code === 'BITS_ERR_ARGUMENT');
  if (nothingSent && failures.length === errands) return EXIT.usage;
  const codes = failures.map(codeOf);
  return PRECEDENCE.find((code) => codes.includes(code)) ?? EXIT.failed;
}

function codeOf({ code, resumable }: Failure): ExitCode {
  switch (code) {
    case 'BITS_ERR_AUTH':
      return EXIT.auth;
    case 'BITS_ERR_SOURCE_CHANGED':
      return EXIT.sourceChanged;
    case 'BITS_ERR_STATE':
      // Another process has the job.
      return EXIT.failed;
    default:
      return resumable ? EXIT.resumable : EXIT.failed;
  }
}
