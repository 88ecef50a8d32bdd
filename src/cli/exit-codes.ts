import type { Failure } from './failure.js';

/** A command that a signal ends exits with 128 plus the number of the signal, `serve` too. */
export const EXIT = Object.freeze({
  done: 0,
  failed: 1,
  usage: 2,
  some: 3,
  auth: 4,
  resumable: 5,
  sourceChanged: 6,
  sighup: 129,
  sigint: 130,
  sigterm: 143,
});

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/**
 * Of several failures the one to deal with first: credentials, without which nothing works; then final
 * failures; then files that changed. `resumable` then means that resuming is all that is left to do.
 */
const PRECEDENCE = [EXIT.auth, EXIT.failed, EXIT.sourceChanged, EXIT.resumable];

/**
 * `some` takes the place of `failed` and `sourceChanged` when other tasks succeeded.
 * @param tasks the number of all tasks, failed or not
 */
export function exitCodeOf(failures: readonly Failure[], tasks: number): ExitCode {
  if (failures.length === 0) return EXIT.done;
  const nothingSent = failures.every(({ code }) => code === 'BITS_ERR_ARGUMENT');
  if (nothingSent && failures.length === tasks) return EXIT.usage;
  const codes = failures.map(codeOf);
  const first = PRECEDENCE.find((code) => codes.includes(code)) ?? EXIT.failed;
  const isFinal = first === EXIT.failed || first === EXIT.sourceChanged;
  return isFinal && failures.length < tasks ? EXIT.some : first;
}

function codeOf({ code, resumable }: Failure): ExitCode {
  switch (code) {
    case 'BITS_ERR_AUTH':
      return EXIT.auth;
    case 'BITS_ERR_SOURCE_CHANGED':
      return EXIT.sourceChanged;
    case 'BITS_ERR_STATE':
      // Another process uploads the file.
      return EXIT.failed;
    default:
      return resumable ? EXIT.resumable : EXIT.failed;
  }
}
