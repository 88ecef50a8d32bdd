import type { ReplyResumePoint } from '../reply/download.js';
import type { StoredReply } from '../reply/sink.js';
import type { Session } from '../session/session.js';
import type { SourceIdentity } from '../source/source.js';
import type { JobRecord } from '../store/record.js';

/** What a run leaves behind, so that another one can go on. */
export interface Leftover {
  readonly session: Session;
  readonly identity: SourceIdentity | undefined;
  readonly storedReply: StoredReply | undefined;
  /** How much of the reply has been downloaded. */
  readonly replyPoint: ReplyResumePoint | undefined;
  /** What the store holds of it; undefined: nothing. */
  readonly record: JobRecord | undefined;
}
