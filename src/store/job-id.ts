import { BitsArgumentError } from '../errors.js';
import { isJobId } from './record.js';

/**
 * Checks an id before it becomes part of a file name.
 * @throws BITS_ERR_ARGUMENT
 */
export function checkJobId(id: unknown): asserts id is string {
  if (!isJobId(id)) throw new BitsArgumentError('a job id must be a UUID in lower case');
}
