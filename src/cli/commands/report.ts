import type { Io } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { type Failure, failureOf } from '../failure.js';
import type { StopReason } from '../interruption.js';
import { sayFailure, type Target } from '../render/messages.js';
import { say, writeEvent } from '../render/text.js';
import type { Flags } from './options.js';

// What commands say that upload nothing themselves, and so have no Reporter.

export function reportFailure(target: Target, failure: Failure, io: Io, { json }: Flags): void {
  if (json) writeEvent(io.stdout, { type: 'error', ...target, ...failure });
  sayFailure(io.stderr, target, failure);
}

/** The whole command failed. */
export function reportError(error: unknown, io: Io, flags: Flags): ExitCode {
  reportFailure({ file: null, url: null }, failureOf(error), io, flags);
  return EXIT.failed;
}

/**
 * The command ends early.
 * @param rest what that means for its task
 */
export function reportStop({ by, exitCode }: StopReason, { stderr }: Io, rest = ''): ExitCode {
  if (by !== 'stdout') say(stderr, `bits-upload: stopped by ${by}${rest}`);
  return exitCode ?? EXIT.failed;
}
