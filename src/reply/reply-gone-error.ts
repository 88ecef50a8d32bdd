import { BitsError } from '../errors.js';

/** Nothing is at any place where the reply may be. */
export class ReplyGoneError extends BitsError {
  constructor(message: string) {
    super('BITS_ERR_REPLY', message);
  }
}
