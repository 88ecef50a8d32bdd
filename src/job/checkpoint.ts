import { isAbsolute, resolve } from 'node:path';
import type { StoredReply } from '../reply/download.js';
import type { ReplyResumePoint } from '../reply/resume-point.js';
import type { ReplyOption } from '../reply/sink.js';
import {
  restoreSession,
  type Session,
  type SessionPlan,
  type SizerOptions,
  snapshotOf,
} from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import { type JobRecord, RECORD_VERSION, type RecordReply } from '../store/record.js';
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
    reply: options.reply === undefined ? 'none' : options.replyOptional ? 'optional' : 'required',
    onUncertainFragment: options.onUncertainFragment,
    maxRestarts: options.maxRestarts,
    maxResyncs: MAX_RESYNCS,
    maxCancelAttempts: MAX_CANCEL_ATTEMPTS,
  };
}

/** What of a job stays the same in all of its records. */
export interface RecordBase {
  readonly id: string;
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
    id: base.id,
    url: base.url,
    queryHash: base.queryHash,
    totalBytes: session.plan.totalBytes,
    contentName: session.plan.contentName,
    source: { path, byteLength, mtimeNs, inode },
    session: snapshotOf(session),
    reply: recordReplyOf(options, replyPoint),
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

/** Where the reply of a recorded job goes; a stream must be given again. */
export function replyOptionOf(record: JobRecord): ReplyOption | undefined {
  const { reply } = record;
  if (reply?.file !== undefined) {
    const { file, overwrite, maxBytes } = reply;
    return { file, overwrite, maxBytes };
  }
  if (reply === undefined || reply.to === 'stream') return undefined;
  return reply.maxBytes === undefined ? true : { maxBytes: reply.maxBytes };
}

function recordReplyOf(
  options: ResolvedOptions,
  resume: Checkpoint['replyPoint'],
): RecordReply | undefined {
  const { reply, replyOptional } = options;
  if (reply === undefined) return undefined;
  const common = { optional: replyOptional, overwrite: false, resume };
  if (reply === true) return { ...common, to: 'memory' };
  if ('file' in reply) {
    const { file, overwrite = false, maxBytes } = reply;
    const path = isAbsolute(file) ? file : resolve(file);
    return { ...common, to: 'file', file: path, overwrite, maxBytes };
  }
  if ('maxBytes' in reply) return { ...common, to: 'memory', maxBytes: reply.maxBytes };
  return { ...common, to: 'stream' };
}
