/**
 * Resolves `BITS-Reply-URL` against the remote URL ([MC-BUP] §2.2.7.2).
 *
 * IIS writes it relative to the directory of the remote URL, with back-slashes and raw braces:
 * `BITS-Sessions\Replies\{…}\responsefile.bin`; braces go out as `%7B` and `%7D`, as Windows does.
 *
 * @returns `relative` true when the server named neither scheme nor host, so that the reply is on the
 * remote URL's own origin; undefined for anything that must not be fetched: not http(s), a user name or
 * password, control characters, or plain http after an https upload.
 */
export function resolveReplyUrl(
  replyUrl: string,
  remoteUrl: URL,
): { url: URL; relative: boolean } | undefined {
  const text = replyUrl.trim();
  if (text === '' || /[\u0000-\u001f\u007f]/.test(text)) return undefined;
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
  const relative = !/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(wire);
  return { url, relative };
}

// A back-slash is a path separator there; in a query it is data.
function slashed(text: string): string {
  const query = text.indexOf('?');
  const path = query === -1 ? text : text.slice(0, query);
  return path.replaceAll('\\', '/') + text.slice(path.length);
}
