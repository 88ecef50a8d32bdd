/**
 * What the program tells the shell.
 *
 * A command that a signal ended exits with 128 and the signal's number, `serve` too.
 */
export const EXIT = Object.freeze({
  done: 0,
  failed: 1,
  usage: 2,
  sigint: 130,
  sigterm: 143,
});

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
