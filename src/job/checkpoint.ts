import { BitsArgumentError } from '../errors.js';
import type { ReplyResumePoint } from '../reply/download.js';
import type { StoredReply } from '../reply/sink.js';
import {
  restoreSession,
  type Session,
  type SessionPlan,
  type SizerOptions,
  snapshotOf,
} from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import { type JobRecord, RECORD_VERSION, type RecordReply } from '../store/record.js';
import type { UploadOptions } from './options.js';
import type { ResolvedOptions } from './resolve-options.js';

/** What a run leaves behind, so that another one can continue. */
export interface Checkpoint {
  readonly session: Session;
  readonly identity: SourceIdentity | undefined;
  readonly storedReply: StoredReply | undefined;
  /** How much of the reply has been downloaded. */
  readonly replyPoint: ReplyResumePoint | undefined;
  /** What the store holds of it; undefined: nothing. */
  readonly record: JobRecord | undefined;
}

/** Answers in a row that ask for bytes again and bring no progress. */
const MAX_RESYNCS = 8;
const MAX_CANCEL_ATTEMPTS = 3;

/** What the options say about the session of a source with so many bytes. */
export function planOf(
  options: ResolvedOptions,
  totalBytes: number,
  contentName: string,
): SessionPlan {
  return {
    totalBytes,
    contentName,
    reply: options.reply === undefined ? 'none' : options.reply.optional ? 'optional' : 'required',
    onUncertainFragment: options.onUncertainFragment,
    mayResend: options.transport?.mayResend ?? false,
    maxRestarts: options.maxRestarts,
    maxResyncs: MAX_RESYNCS,
    maxCancelAttempts: MAX_CANCEL_ATTEMPTS,
  };
}

/** What of a job stays the same in all of its records. */
export interface RecordBase {
  readonly key: string;
  readonly id: string;
  /** The id by which an unfinished reply is found. */
  readonly replyPartId: string;
  readonly url: string;
  readonly queryHash: string | undefined;
  readonly source: SourceIdentity;
  readonly createdAtMs: number;
}

export function recordOf(
  base: RecordBase,
  { session, replyPoint }: Pick<Checkpoint, 'session' | 'replyPoint'>,
  options: ResolvedOptions,
  nowMs: number,
): JobRecord {
  const { path, byteLength, mtimeNs, inode } = base.source;
  return {
    version: RECORD_VERSION,
    key: base.key,
    id: base.id,
    url: base.url,
    queryHash: base.queryHash,
    totalBytes: session.plan.totalBytes,
    contentName: session.plan.contentName,
    source: { path, byteLength, mtimeNs, inode },
    session: snapshotOf(session),
    reply: recordReplyOf(options, base.replyPartId, replyPoint),
    fragmentBytes: options.fragmentBytes,
    state: session.state,
    bestOffset: session.bestOffset,
    createdAtMs: base.createdAtMs,
    updatedAtMs: nowMs,
  };
}

/** The checkpoint that another process left in a record. */
export function checkpointOf(
  record: JobRecord,
  plan: SessionPlan,
  sizer: SizerOptions,
): Checkpoint {
  // A reply counts as stored again when the download finds it stored; memory is gone by now.
  const snapshot = { ...record.session, replyStored: false };
  return {
    session: restoreSession(plan, snapshot, sizer),
    identity: record.source,
    storedReply: undefined,
    replyPoint: record.reply?.resume,
    record,
  };
}

/**
 * The options of a recorded job: those that are given now, and the rest from the record.
 * @throws BITS_ERR_ARGUMENT when something is missing that the record does not hold
 */
export function restoredOptions(record: JobRecord, options: Partial<UploadOptions>): UploadOptions {
  const { id, queryHash, reply } = record;
  if (queryHash !== undefined && options.url === undefined) {
    throw new BitsArgumentError(
      `Job ${id} was started with a query in its URL, which is not kept: give the url again.`,
    );
  }
  if (reply?.to === 'stream' && options.reply === undefined) {
    throw new BitsArgumentError(`The reply of job ${id} went to a stream: give reply again.`);
  }
  const given = options.reply === true ? {} : options.reply;
  const { file = 'memory', optional, overwrite, maxBytes } = reply ?? {};
  const recorded = reply && { to: file, optional, overwrite, maxBytes };
  return {
    ...options,
    url: options.url ?? record.url,
    source: options.source ?? record.source.path,
    reply: given ? { optional, ...given } : recorded,
    fragmentBytes: options.fragmentBytes ?? record.fragmentBytes,
  };
}

function recordReplyOf(
  { reply }: ResolvedOptions,
  partId: string,
  resume: Checkpoint['replyPoint'],
): RecordReply | undefined {
  if (reply === undefined) return undefined;
  const { path: file, stream, optional, overwrite, maxBytes } = reply;
  const to = file !== undefined ? 'file' : stream !== undefined ? 'stream' : 'memory';
  return { partId, to, file, optional, overwrite, maxBytes, resume };
}
