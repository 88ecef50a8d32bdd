import type { JobEvent } from '../../cli-events.js';
import { codeOf } from '../../common/error-like.js';
import {
  BitsError,
  fileSource,
  isBitsError,
  type JobRecord,
  type JobStore,
  type LockOwner,
  type StoredJobs,
  type UploadOptions,
} from '../../index.js';
import { isTrustedHost, parseRemoteUrl, sourceIdentityChange } from '../../internal.js';
import type { UploadTarget } from '../render/messages.js';
import { UsageError } from '../values.js';

/** The file of a job, compared with the file that the upload began with. */
export type SourceStatus = JobEvent['source'];

/**
 * Finds jobs by their ids or by unique beginnings of them.
 * @throws UsageError for an id of no job or of several; BITS_ERR_STORE when its record is unreadable
 */
export function findJobs({ records, problems }: StoredJobs, ids: readonly string[]): JobRecord[] {
  const found = ids.map((id) => {
    const prefix = id.toLowerCase();
    const matches = records.filter((record) => prefix !== '' && record.id.startsWith(prefix));
    const [match, other] = matches;
    if (match !== undefined && other === undefined) return match;
    if (match !== undefined) {
      throw new UsageError(`${id} is the beginning of ${matches.length} ids: give more characters`);
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

/** Stands for the query of a URL, which is never shown: the user has to fill it in. */
export const HIDDEN_QUERY = '?…';

/** The file and the URL of a job, as they are shown. */
export function targetOf(record: JobRecord): UploadTarget {
  return {
    file: record.source.path,
    url: record.queryHash === undefined ? record.url : `${record.url}${HIDDEN_QUERY}`,
  };
}

/** The URL of a record if it has a query, which is not stored. */
export function urlToComplete({ url, queryHash }: JobRecord): string | undefined {
  return queryHash === undefined ? undefined : url;
}

/**
 * The URL to restore a job with, if the URL of the record is incomplete.
 * @throws UsageError when the query is missing or not filled in, or for the URL of another upload
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
    throw new UsageError(`--url is not the URL of upload ${id}: ${url}`);
  }
  if (queryHash === undefined) return {};
  throw new UsageError(
    `the URL of upload ${id} has a query, which is not stored: give the whole URL with --url`,
  );
}

export async function sourceStatusOf({ source }: JobRecord): Promise<SourceStatus> {
  try {
    const opened = await fileSource(source.path).open();
    await opened.close();
    const { identity } = opened;
    return identity === undefined || sourceIdentityChange(source, identity) === 'changed'
      ? 'changed'
      : 'unchanged';
  } catch (error) {
    const code = isBitsError(error) ? codeOf(error.cause) : undefined;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'gone' : 'unreadable';
  }
}

/** Since the last progress; the clock may have been set back. */
export function ageOf({ updatedAtMs }: JobRecord): number {
  return Math.max(0, Date.now() - updatedAtMs);
}

/** Only the jobs of a host, which may be given with its port. */
export function onlyOf(
  host: string | undefined,
  records: readonly JobRecord[],
): readonly JobRecord[] {
  if (host === undefined) return records;
  const name = host.toLowerCase();
  return records.filter(({ url }) => {
    const its = new URL(url);
    return its.hostname === name || its.host === name;
  });
}

/**
 * Credentials are for one host, and records name hosts that the user may not think of.
 * @throws UsageError when they would go to several hosts that --trusted-host does not name
 */
export function assertOneHost(
  urls: readonly (string | URL)[],
  { auth, tls, headers, trustedHosts = [] }: Partial<UploadOptions>,
): void {
  const isSecret = auth ?? tls?.cert ?? tls?.pfx ?? headers;
  const hosts = new Set(urls.map((url) => new URL(url).hostname));
  if (isSecret === undefined || hosts.size < 2) return;
  const nowhere = new URL('http://nowhere.invalid/');
  if ([...hosts].every((host) => isTrustedHost(host, nowhere, trustedHosts))) return;
  throw new UsageError(
    `the uploads go to several hosts (${[...hosts].join(', ')}), and credentials and headers are for ` +
      'one: choose the uploads to one host (resume --all and prune have --host), or allow all of them ' +
      'with --trusted-host',
  );
}

/** The process that is running a job; undefined if there is none, or if it is unknown. */
export function driverOf(store: JobStore, record: JobRecord): Promise<LockOwner | undefined> {
  return store.holder(record.key).catch(() => undefined);
}
