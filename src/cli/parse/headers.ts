import { isHeaderValue, isToken, trimBlanks } from '../../common/header-fields.js';
import { UsageError } from '../usage-error.js';

/**
 * Reads the values of `--header 'Name: value'`.
 *
 * No message repeats what was given: it may be a secret, also where a name is expected.
 * @throws UsageError for a missing colon, a bad name, control characters, or a name given
 *   twice
 */
export function parseHeaders(given: readonly string[]): Record<string, string> {
  const headers = new Map<string, [name: string, value: string]>();
  for (const [index, line] of given.entries()) {
    const which = given.length === 1 ? '--header' : `--header number ${index + 1}`;
    const colon = line.indexOf(':');
    if (colon < 0) {
      throw new UsageError(`${which} must have the form 'Name: value', with a colon`);
    }
    const name = line.slice(0, colon);
    if (!isToken(name)) {
      throw new UsageError(
        `${which} has no legal name before its colon: letters, digits and dashes, without spaces`,
      );
    }
    const value = trimBlanks(line.slice(colon + 1));
    if (!isHeaderValue(value)) {
      throw new UsageError(
        `the value of ${which} (${name}) has control or non-Latin-1 characters, such as a line break`,
      );
    }
    if (headers.has(name.toLowerCase())) {
      throw new UsageError(`--header ${name} is given twice: join its values with a comma in one`);
    }
    headers.set(name.toLowerCase(), [name, value]);
  }
  return Object.fromEntries(headers.values());
}
