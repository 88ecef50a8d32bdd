import { MAX_CONTENT_NAME_LENGTH } from './constants.js';

// [MC-BUP] <3> forbids \ / : * ? " < > |; the percent sign is escaped so that escapes can be decoded.
const LITERALS = /^[!#$&'()+,\-.0-9;=@A-Z[\]^_`a-z{}~]+$/;

// For names of which nothing is left; servers ignore the value.
const NAMELESS = 'upload';

/**
 * Writes a file name as a `Content-Name` ([MC-BUP] §2.2.6.1, <3>): without path, at most 260
 * printable ASCII characters, everything else percent-encoded as UTF-8.
 *
 * Decodes with `decodeURIComponent`. Spaces are encoded too: HTTP parsers trim them at the ends and
 * may fold them inside. A longer name is cut between characters. Never empty.
 */
export function encodeContentName(name: string): string {
  if (isLiteral(name)) return name;
  const lastSegment = name
    .split(/[\\/]/)
    .filter((segment) => segment !== '')
    .at(-1);
  if (lastSegment === undefined || lastSegment === '.' || lastSegment === '..') return NAMELESS;

  if (isLiteral(lastSegment)) return lastSegment;
  let encoded = '';
  for (const character of lastSegment) {
    const piece = LITERALS.test(character) ? character : percentEncode(character);
    if (encoded.length + piece.length > MAX_CONTENT_NAME_LENGTH) break;
    encoded += piece;
  }
  return encoded;
}

function isLiteral(name: string): boolean {
  return (
    name.length <= MAX_CONTENT_NAME_LENGTH && LITERALS.test(name) && name !== '.' && name !== '..'
  );
}

// TextEncoder turns a lone surrogate into U+FFFD, where encodeURIComponent would throw.
function percentEncode(character: string): string {
  return Array.from(
    new TextEncoder().encode(character),
    (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}
