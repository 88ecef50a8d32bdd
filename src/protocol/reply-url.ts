/** Longest reply URL, as the server writes it and as it is requested. */
const MAX_URL_LENGTH = 8 * 1024;

/**
 * Resolves `BITS-Reply-URL` against the remote URL ([MC-BUP] §2.2.7.2).
 *
 * IIS writes it relative to the directory of the remote URL, with back-slashes and raw braces:
 * `BITS-Sessions\Replies\{…}\responsefile.bin`; braces go out as `%7B` and `%7D`, as Windows does.
 *
 * @returns `relative` true when the server named neither scheme nor host, so that the reply is on the
 * remote URL's own origin; undefined for anything that must not be fetched: not http(s), a user name or
 * password, control characters, plain http after an https upload, or more than 8 KiB.
 */
export function resolveReplyUrl(
  replyUrl: string,
  remoteUrl: URL,
): { url: URL; relative: boolean } | undefined {
  const text = replyUrl.trim();
  if (text === '' || text.length > MAX_URL_LENGTH || /[\u0000-\u001f\u007f]/.test(text))
    return undefined;
  const wire = slashed(text).replaceAll('{', '%7B').replaceAll('}', '%7D');

  let url: URL;
  try {
    url = new URL(wire, remoteUrl);
  } catch {
    return undefined;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  if (remoteUrl.protocol === 'https:' && url.protocol === 'http:') return undefined;
  if (url.username !== '' || url.password !== '') return undefined;
  url.hash = '';
  if (url.href.length > MAX_URL_LENGTH) return undefined;
  const relative = !/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(wire);
  return { url, relative };
}

// A back-slash is a path separator there; in a query it is data.
function slashed(text: string): string {
  const query = text.indexOf('?');
  const path = query === -1 ? text : text.slice(0, query);
  return path.replaceAll('\\', '/') + text.slice(path.length);
}
