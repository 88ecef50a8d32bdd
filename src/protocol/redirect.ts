/** How many redirects are followed for one request. */
export const MAX_REDIRECTS = 5;

/** Longest `Location`, and longest URL that it may stand for. */
const MAX_URL_LENGTH = 8 * 1024;

/** RFC 1035 §2.3.4 allows 253 characters; brackets and a port come on top. */
const MAX_HOST_LENGTH = 260;

/** `refused` says why, for an error: it contains nothing of the `Location` but its host. */
export type Redirect = { readonly url: URL } | { readonly refused: string };

/**
 * Where a redirect leads (RFC 9110 §10.2.2); whether that host may get credentials is not judged.
 *
 * @param from the URL that was requested
 * @param location as the server wrote it
 * @param hops how many redirects were followed before this one
 */
export function resolveRedirect(from: URL, location: string, hops: number): Redirect {
  if (hops >= MAX_REDIRECTS) {
    return { refused: `that was redirect ${hops + 1} in a row: check the server for a loop` };
  }
  const isShort = location.length <= MAX_URL_LENGTH;
  const url = isShort && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (!isShort || (url !== undefined && url.href.length > MAX_URL_LENGTH)) {
    return {
      refused: `the Location is longer than ${MAX_URL_LENGTH} characters: check the server`,
    };
  }
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (url === undefined || !isHttp || url.host.length > MAX_HOST_LENGTH) {
    return { refused: 'the Location is not an http or https URL: check the server' };
  }
  if (url.username !== '' || url.password !== '') {
    return { refused: `the Location, on ${url.host}, contains a user name: check the server` };
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    return { refused: `the Location, on ${url.host}, is http and not private: check the server` };
  }
  url.hash = '';
  return { url };
}
