import {
  BitsError,
  fileSource,
  holderOf,
  isBitsError,
  type JobRecord,
  type JobStore,
  type LockOwner,
  parseRemoteUrl,
  type SourceIdentity,
  type StoredJobs,
} from '../../index.js';
import type { Target } from '../render/reporter.js';
import { UsageError } from '../usage-error.js';

/** Whether the file of a job is what it was when the upload began. */
export type SourceStatus = 'unchanged' | 'changed' | 'gone' | 'unreadable';

/**
 * The jobs that ids, or unique beginnings of ids, name; each once.
 * @throws UsageError for one that names none or several; BITS_ERR_STORE when its record is unreadable
 */
export function findJobs({ records, problems }: StoredJobs, ids: readonly string[]): JobRecord[] {
  const found = ids.map((id) => {
    const prefix = id.toLowerCase();
    const matches = records.filter((record) => prefix !== '' && record.id.startsWith(prefix));
    const [match, other] = matches;
    if (match !== undefined && other === undefined) return match;
    if (match !== undefined) {
      throw new UsageError(`${id} is the beginning of ${matches.length} ids: give more of it`);
    }
    const [problem] = problems;
    if (prefix !== '' && problem !== undefined) {
      throw new BitsError(
        'BITS_ERR_STORE',
        `there is no record of upload ${id} that can be read; it may be this one: ${problem.error.message}`,
      );
    }
    throw new UsageError(`there is no unfinished upload ${id}: see bits-upload jobs`);
  });
  return [...new Set(found)];
}

/** Stands for the query of a URL, which is never shown: the user has to write it there. */
export const HIDDEN_QUERY = '?…';

/** The file and the URL of a job, as they are shown. */
export function targetOf(record: JobRecord): Target & { readonly file: string } {
  return {
    file: record.source.path,
    url: record.queryHash === undefined ? record.url : `${record.url}${HIDDEN_QUERY}`,
  };
}

/**
 * The URL to restore a job with, when the record's own will not do.
 * @throws UsageError when the query is missing or not filled in, or another URL was given
 */
export function urlOption(record: JobRecord, given: string | undefined): { readonly url?: URL } {
  const { id, url, queryHash } = record;
  if (given !== undefined) {
    const parsed = parseRemoteUrl(given);
    if (given.endsWith(HIDDEN_QUERY)) {
      throw new UsageError(
        `--url ends in ${HIDDEN_QUERY}: write the query of the URL of upload ${id} in its place`,
      );
    }
    if (`${parsed.origin}${parsed.pathname}` === url) return { url: parsed };
    throw new UsageError(`--url is not the URL that upload ${id} goes to: ${url}`);
  }
  if (queryHash === undefined) return {};
  throw new UsageError(
    `the URL of upload ${id} has a query, which is not kept: give the whole URL with --url`,
  );
}

export async function sourceStatusOf({ source }: JobRecord): Promise<SourceStatus> {
  try {
    const opened = await fileSource(source.path).open();
    await opened.close();
    return isSameFile(source, opened.identity) ? 'unchanged' : 'changed';
  } catch (error) {
    const cause = isBitsError(error)
      ? (error.cause as NodeJS.ErrnoException | undefined)
      : undefined;
    return cause?.code === 'ENOENT' || cause?.code === 'ENOTDIR' ? 'gone' : 'unreadable';
  }
}

function isSameFile(before: SourceIdentity, now: SourceIdentity | undefined): boolean {
  return (
    before.byteLength === now?.byteLength &&
    before.mtimeNs === now.mtimeNs &&
    before.inode === now.inode
  );
}

/** The process that drives a job now; undefined when none does, or when that cannot be found out. */
export function driverOf(store: JobStore, record: JobRecord): Promise<LockOwner | undefined> {
  return holderOf(store, record).catch(() => undefined);
}
