import { isAbsolute } from 'node:path';
import { BitsStoreError, isBitsError } from '../errors.js';
import {
  MAX_FRAGMENT_BYTES,
  MAX_SESSION_ID_LENGTH,
  MIN_FRAGMENT_BYTES,
} from '../protocol/constants.js';
import { parseHostId } from '../protocol/host-id.js';
import type { ReplyResumePoint } from '../reply/download.js';
import type { SessionSnapshot, SessionState } from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import { count, damaged, fields, flag, oneOf, optional, text } from './checks.js';
import { isBareUrl, isJobKey } from './job-key.js';

export const RECORD_VERSION = 1;

/** More than any legal record takes. */
export const MAX_RECORD_BYTES = 1024 ** 2;

/** Where the reply goes. A `stream` has to be given again by whoever restores the job. */
export interface RecordReply {
  /** The id by which an unfinished reply in a file is found: of the job that began to download it. */
  readonly partId: string;
  readonly to: 'memory' | 'file' | 'stream';
  /** Whether the upload also succeeds when the server announces no reply. */
  readonly optional: boolean;
  /** Absolute path; present when `to` is `file`. */
  readonly file?: string | undefined;
  readonly overwrite: boolean;
  readonly maxBytes?: number | undefined;
  readonly resume?: ReplyResumePoint | undefined;
}

/**
 * What another process needs to resume a job. Plain JSON.
 *
 * It holds no credential, no header and no query of the URL, which may be a token: of the query
 * there is a salted hash, so that a job is resumed only with the URL that it was started with. It
 * does hold the session id and the reply URL that the server gave, without which nothing can be
 * resumed; so the file store keeps it readable for its owner alone.
 */
export interface JobRecord {
  readonly version: typeof RECORD_VERSION;
  /** Where a store keeps the record, and what its lock is called; see `uploadKey`. */
  readonly key: string;
  /** UUID in lower case. */
  readonly id: string;
  /** The file's URL without user name, password, query and fragment. */
  readonly url: string;
  /** Hash of the URL's query; undefined when it has none. See `hashQuery`. */
  readonly queryHash?: string | undefined;
  readonly totalBytes: number;
  readonly contentName: string;
  readonly source: SourceIdentity;
  readonly session: SessionSnapshot;
  /** Undefined when the job expects no reply. */
  readonly reply?: RecordReply | undefined;
  /** The fixed fragment size that the caller chose. */
  readonly fragmentBytes?: number | undefined;
  readonly state: SessionState;
  /** The highest offset that was ever acknowledged, in any session. */
  readonly bestOffset: number;
  /** Milliseconds since 1970, by the clock of the machine that wrote them. */
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A time beyond this is no valid Date. */
const MAX_TIME_MS = 8.64e15;

/** Windows allows paths of 32767 units, Linux of 4096 bytes. */
const MAX_PATH_LENGTH = 32_767;

/** Node reads no longer header block by default. */
const MAX_HEADER_LENGTH = 16_384;

const printable = /^[\x20-\x7e]+$/;
const path = text(
  MAX_PATH_LENGTH,
  'an absolute path',
  (value) => isAbsolute(value) && !value.includes('\0'),
);
const bare = text(MAX_HEADER_LENGTH, 'an http URL without a query', isBareUrl);
const decimal = text(40, 'a decimal number', /^-?\d+$/);
const header = text(MAX_HEADER_LENGTH, 'printable ASCII', printable);

const recordFields = fields<Omit<JobRecord, 'version'>>({
  key: text(32, 'a key', isJobKey),
  id: text(36, 'a UUID', UUID),
  url: bare,
  queryHash: optional(text(64, 'a hash', /^[0-9a-f]{64}$/)),
  totalBytes: count(),
  contentName: text(MAX_PATH_LENGTH, 'a name', (name) => name !== '' && !name.includes('\0')),
  source: fields<SourceIdentity>({ path, byteLength: count(), mtimeNs: decimal, inode: decimal }),
  session: fields<SessionSnapshot>({
    sessionId: optional(text(MAX_SESSION_ID_LENGTH, 'a session id', printable)),
    hostId: optional(text(300, 'a host', (host) => parseHostId(host) === host)),
    hostIdFallbackTimeoutMs: optional(count()),
    offset: count(),
    // A server may write any byte but control characters; it is resolved and checked when used.
    replyUrl: optional(text(MAX_HEADER_LENGTH, 'a header value', /^[^\x00-\x1f\x7f]+$/)),
    replyStored: flag,
    closeUncertain: flag,
  }),
  reply: optional(
    fields<RecordReply>({
      partId: text(36, 'a UUID', UUID),
      to: oneOf({ memory: true, file: true, stream: true }),
      optional: flag,
      file: optional(path),
      overwrite: flag,
      maxBytes: optional(count()),
      resume: optional(
        fields<ReplyResumePoint>({
          receivedBytes: count(),
          candidate: count(1000),
          totalBytes: optional(count()),
          etag: optional(header),
          lastModified: optional(header),
          ifRange: optional(header),
          place: optional(bare),
        }),
      ),
    }),
  ),
  fragmentBytes: optional(count(MAX_FRAGMENT_BYTES)),
  state: oneOf<SessionState>({
    init: true,
    'create-session': true,
    ping: true,
    fragment: true,
    'get-reply': true,
    'close-session': true,
    'cancel-session': true,
    suspended: true,
    error: true,
    completed: true,
    cancelled: true,
    failed: true,
  }),
  bestOffset: count(),
  createdAtMs: count(MAX_TIME_MS),
  updatedAtMs: count(MAX_TIME_MS),
});

/**
 * Reads a record, which may have been damaged or written by somebody else.
 *
 * @param input JSON text, or what was parsed from it; fields that are not known are left out.
 * @throws BITS_ERR_STORE, with the reason `unknown-version` or `damaged`; nothing else
 */
export function parseRecord(input: unknown): JobRecord {
  try {
    return readRecord(typeof input === 'string' ? parseJson(input) : input);
  } catch (error) {
    if (isBitsError(error)) throw error;
    // Getters and proxies of a caller's object.
    throw new BitsStoreError('damaged', 'the job record cannot be read', error);
  }
}

/**
 * Writes a record as JSON text; what `JobRecord` does not name is left out.
 * @throws BITS_ERR_STORE when `parseRecord` would not read it back
 */
export function serializeRecord(record: JobRecord): string {
  return `${JSON.stringify(parseRecord(record), undefined, 2)}\n`;
}

/** For sorting: the oldest job first. */
export function byAge(a: JobRecord, b: JobRecord): number {
  return a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1);
}

function parseJson(input: string): unknown {
  if (input.length > MAX_RECORD_BYTES) {
    throw new BitsStoreError('damaged', `the job record is larger than ${MAX_RECORD_BYTES} bytes`);
  }
  try {
    return JSON.parse(input) as unknown;
  } catch {
    // Without a cause: the error of JSON.parse repeats its input.
    throw new BitsStoreError('damaged', 'the job record is damaged or cut short: it is not JSON');
  }
}

const versionField = fields<{ version: unknown }>({ version: (found) => found });

function readRecord(value: unknown): JobRecord {
  const { version } = versionField(value, 'record');
  if (version !== RECORD_VERSION) {
    if (!Number.isSafeInteger(version)) throw damaged('record.version', 'a whole number');
    throw new BitsStoreError(
      'unknown-version',
      `the job record has version ${version}, and this release reads version ${RECORD_VERSION}: ` +
        'use the release that wrote it',
    );
  }
  const record = { version: RECORD_VERSION, ...recordFields(value, 'record') } as const;
  checkConsistency(record);
  return record;
}

function checkConsistency(record: JobRecord): void {
  const { totalBytes, source, session, reply, fragmentBytes } = record;
  if (source.byteLength !== totalBytes) throw damaged('record.source.byteLength', 'totalBytes');
  const offsets = [session.offset, record.bestOffset];
  if (offsets.some((offset) => offset > totalBytes)) {
    throw damaged('an offset', 'within the file');
  }
  if (fragmentBytes !== undefined && fragmentBytes < MIN_FRAGMENT_BYTES) {
    throw damaged('record.fragmentBytes', `${MIN_FRAGMENT_BYTES} or more`);
  }
  if (reply !== undefined && (reply.to === 'file') !== (reply.file !== undefined)) {
    throw damaged('record.reply.file', 'there exactly when the reply goes to a file');
  }
}
