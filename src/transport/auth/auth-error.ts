import { BitsError, type BitsErrorOptions, BitsServerError } from '../../errors.js';

/** Authentication cannot work as it is set up; nothing was refused. */
export function authSetupError(message: string, options: BitsErrorOptions = {}): BitsError {
  return new BitsError('BITS_ERR_AUTH', message, options);
}

/** A server (401) or proxy (407) keeps asking for authentication. */
export function authRefusedError(
  message: string,
  isProxy: boolean,
  options: BitsErrorOptions = {},
): BitsServerError {
  return new BitsServerError(
    message,
    { status: isProxy ? 407 : 401 },
    { ...options, code: 'BITS_ERR_AUTH' },
  );
}
