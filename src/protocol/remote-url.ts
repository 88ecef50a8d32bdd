import { BitsArgumentError } from '../errors.js';

const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/;
// A percent sign that starts no escape, as in `100% sure.zip`.
const BARE_PERCENT = /%(?![0-9a-f]{2})/gi;

/**
 * Checks the URL that an upload goes to and normalises its escapes.
 *
 * Takes any absolute http(s) URL; spaces, other scripts, `#` and a bare `%` are percent-encoded.
 * Servers see no fragment of a URL, so a `#` belongs to the name.
 *
 * @throws BITS_ERR_ARGUMENT for another scheme, control characters and `user:password@`. The message
 * repeats nothing of the URL, which may hold a password.
 */
export function parseRemoteUrl(input: string | URL): URL {
  const given = String(input);
  if (CONTROL_CHARACTER.test(given)) {
    throw new BitsArgumentError(
      'The URL contains a control character, such as a line break: remove it',
    );
  }
  const text = given.trim().replaceAll('#', '%23');
  if (!/^https?:\/\//i.test(text)) {
    throw new BitsArgumentError('The URL must start with http:// or https://');
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // Without a cause: the error of URL repeats its input.
    throw new BitsArgumentError('The URL is malformed: check its host name and port');
  }
  if (url.username !== '' || url.password !== '') {
    throw new BitsArgumentError(
      'The URL contains a user name or password, which would appear in logs: ' +
        'give credentials with the option for authentication instead',
    );
  }
  if (url.href.includes('%')) {
    url.pathname = url.pathname.replace(BARE_PERCENT, '%25');
    // Not for an empty query: assigning that would drop the question mark.
    if (url.search !== '') url.search = url.search.replace(BARE_PERCENT, '%25');
  }
  return url;
}

/**
 * Completes a URL that ends in `/` with the name of the file; any other URL is returned as it is.
 *
 * Every character of the name survives: `#`, `?`, `%`, spaces and back-slashes are percent-encoded.
 *
 * @param name of the file, without path.
 * @throws BITS_ERR_ARGUMENT when a name is needed and this one is empty, `.`, `..` or contains a `/`.
 */
export function appendFileName(url: URL, name: string): URL {
  const complete = new URL(url);
  if (!url.pathname.endsWith('/')) return complete;
  if (name === '' || name === '.' || name === '..' || name.includes('/')) {
    throw new BitsArgumentError(
      'The URL ends in / and the source has no file name to append: add the name to the URL',
    );
  }
  // encodeURIComponent throws on a lone surrogate.
  const wellFormed = name.replace(/\p{Surrogate}/gu, '\ufffd');
  complete.pathname += encodeURIComponent(wellFormed);
  return complete;
}

/** A URL for messages and logs: without user name and password, and of a query only that there is one. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;
}
