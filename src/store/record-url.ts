import { scrypt } from 'node:crypto';

/**
 * The part of a URL that a record may hold: no user name, no password, no query, no fragment.
 *
 * A query is left out because it may be a token, such as that of a shared access signature.
 */
export function bareUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

export function isBareUrl(text: string): boolean {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return false;
  }
  return (url.protocol === 'http:' || url.protocol === 'https:') && bareUrl(url) === text;
}

/**
 * Hashes the query of a URL, salted with the job's id; undefined when it has none.
 *
 * Slow on purpose (tens of milliseconds, on a worker thread): a short password in a query would
 * otherwise be guessed from its hash. Call it once a job.
 */
export async function hashQuery(url: URL, id: string): Promise<string | undefined> {
  if (url.search === '') return undefined;
  return new Promise((resolve, reject) => {
    scrypt(url.search, id, 32, (error, key) => {
      if (error === null) resolve(key.toString('hex'));
      else reject(error);
    });
  });
}

/** Whether a job was begun with this URL, its query included. */
export async function isUrlOf(
  record: { readonly id: string; readonly url: string; readonly queryHash?: string | undefined },
  url: URL,
): Promise<boolean> {
  if (bareUrl(url) !== record.url) return false;
  if (url.search === '' || record.queryHash === undefined) {
    return url.search === '' && record.queryHash === undefined;
  }
  return (await hashQuery(url, record.id)) === record.queryHash;
}
