import type { ReplyOptions } from '../reply/reply-option.js';
import {
  restoreSession,
  type Session,
  type SessionPlan,
  type SizerOptions,
  snapshotOf,
} from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import { type JobRecord, RECORD_VERSION, type RecordReply } from '../store/record.js';
import type { Leftover } from './leftover.js';
import type { ResolvedOptions } from './options.js';

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
  { session, replyPoint }: Pick<Leftover, 'session' | 'replyPoint'>,
  options: ResolvedOptions,
  nowMs: number,
): JobRecord {
  const { path, byteLength, mtimeNs, inode } = base.source;
  const reply = replyOf(options, replyPoint);
  return {
    version: RECORD_VERSION,
    id: base.id,
    url: base.url,
    queryHash: base.queryHash,
    totalBytes: session.plan.totalBytes,
    contentName: session.plan.contentName,
    source: { path, byteLength, mtimeNs, inode },
    session: snapshotOf(session),
    reply,
    fragmentBytes: options.fragmentBytes,
    state: session.state,
    bestOffset: session.bestOffset,
    createdAtMs: base.createdAtMs,
    updatedAtMs: nowMs,
  };
}

/** What another process left, as if this one had. */
export function leftoverOf(
  record: JobRecord,
  plan: SessionPlan,
  sizer: SizerOptions,
): Leftover & { readonly session: Session } {
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
export function replyOptionOf({ reply }: JobRecord): ReplyOptions | undefined {
  if (reply === undefined || reply.to === 'stream') return undefined;
  const { file, optional, overwrite, maxBytes } = reply;
  return { to: file ?? 'memory', optional, overwrite, maxBytes };
}

function replyOf(
  { reply }: ResolvedOptions,
  resume: Leftover['replyPoint'],
): RecordReply | undefined {
  if (reply === undefined) return undefined;
  const { to, optional, overwrite, maxBytes } = reply;
  const common = { optional, overwrite, maxBytes, resume };
  if (to === 'memory') return { ...common, to };
  return 'path' in to ? { ...common, to: 'file', file: to.path } : { ...common, to: 'stream' };
}
