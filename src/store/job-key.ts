import { createHash, scrypt } from 'node:crypto';
import { BitsArgumentError } from '../errors.js';

const KEY = /^[0-9a-f]{32}$/;

export function isJobKey(value: unknown): value is string {
  return typeof value === 'string' && KEY.test(value);
}

/**
 * Checks a key before it becomes part of a file name.
 * @throws BITS_ERR_ARGUMENT
 */
export function checkJobKey(key: unknown): asserts key is string {
  if (!isJobKey(key)) {
    throw new BitsArgumentError('the key of a job record must be 32 hexadecimal digits');
  }
}

/** The key of the job that uploads a file to a URL: the same one in every process. */
export function uploadKey(upload: {
  /** Without its query. */
  readonly url: string;
  readonly queryHash: string | undefined;
  /** Absolute. */
  readonly path: string;
}): string {
  return digest('upload', upload.url, upload.queryHash ?? '', upload.path);
}

/** A key by which only those find a record who know the job's id. */
export function keyOfId(id: string): string {
  return digest('id', id);
}

/** Paths and URLs hold no NUL. */
function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
}

/**
 * The part of a URL that a record may hold: no user name, no password, no query, no fragment.
 *
 * A query is left out because it may be a token, such as that of a shared access signature.
 */
export function bareUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

export function isBareUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  return isHttp && bareUrl(url) === text;
}

/**
 * Hashes the query of a URL, salted with the rest of it and with the path of the file; undefined
 * when it has none.
 *
 * Slow on purpose (tens of milliseconds, on a worker thread): a short password in a query could
 * otherwise be guessed from its hash.
 */
export async function hashQuery(url: URL, path: string): Promise<string | undefined> {
  if (url.search === '') return undefined;
  return new Promise((resolve, reject) => {
    scrypt(url.search, `${bareUrl(url)}\0${path}`, 32, (error, key) => {
      if (error === null) resolve(key.toString('hex'));
      else reject(error);
    });
  });
}
