import { isHeaderValue, isToken } from '../common/header-fields.js';
import { BitsArgumentError } from '../errors.js';

/** Headers as `fetch` takes them. */
export type HeadersInput =
  | Readonly<Record<string, string>>
  | Iterable<readonly [name: string, value: string]>;

/** Headers of the protocol and of the connection, which a caller would only break. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'content-name',
  'content-range',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** @throws BITS_ERR_ARGUMENT for a header that cannot, or must not, be sent */
export function checkHeaders(headers: HeadersInput): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null) {
    throw new BitsArgumentError('headers must be an object, a Headers or pairs of name and value.');
  }
  const pairs: Iterable<readonly [string, string]> =
    Symbol.iterator in headers ? headers : Object.entries(headers);
  const checked: [string, string][] = [];
  for (const pair of pairs) {
    // A string is iterable, too: "ab" would be the header a with the value b.
    const [name, value] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof name !== 'string' || !isToken(name)) {
      throw new BitsArgumentError(`${JSON.stringify(name)} is not a legal header name.`);
    }
    if (typeof value !== 'string') {
      throw new BitsArgumentError(`The value of the header ${name} is not a string.`);
    }
    if (!isHeaderValue(value)) {
      // The value may be a secret, so it is not shown.
      throw new BitsArgumentError(
        `The value of the header ${name} has control or non-Latin-1 characters.`,
      );
    }
    const lowerCase = name.toLowerCase();
    if (OWN_HEADERS.has(lowerCase) || lowerCase.startsWith('bits-')) {
      throw new BitsArgumentError(`The header ${name} belongs to the protocol and cannot be set.`);
    }
    checked.push([name, value]);
  }
  return Object.freeze(Object.fromEntries(checked));
}
