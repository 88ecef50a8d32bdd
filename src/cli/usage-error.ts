/**
 * The command line itself is wrong; the program exits with 2.
 *
 * Not a `BitsArgumentError`, so that reading arguments does not load the SDK.
 */
export class UsageError extends Error {
  override name = 'UsageError';
  readonly code = 'BITS_ERR_ARGUMENT';
  readonly retryable = false;
}
