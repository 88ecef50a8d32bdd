import type { BitsError } from '../errors.js';
import type { StoredReply } from '../reply/sink.js';
import type { SessionState } from '../session/session.js';
import type { RetryDecision } from './options.js';
import type { UploadProgress } from './progress.js';

/** A session's state, or `await-reply`: all bytes are sent, and the server's application works. */
export type UploadState = SessionState | 'await-reply';

/** Something that a user should know, and that stops nothing. */
export interface UploadWarning {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
}

/** What became of an upload that succeeded. */
export interface UploadResult {
  readonly id: string;
  /** Where the file is now; values of a query are left out. */
  readonly url: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Body bytes that this run sent; more than `bytes` when some were sent again. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Whether the run resumed a session that was created before it. */
  readonly resumed: boolean;
  /** `presumed`: no answer confirmed Close-Session, and the server no longer knows the session. */
  readonly closed: 'acknowledged' | 'presumed';
  /** What the server's application answered, in an upload-reply job. */
  readonly reply: StoredReply | undefined;
}

/** The events of an `UploadJob`, and what their listeners get. */
export interface UploadJobEvents {
  state: [state: UploadState];
  progress: [progress: UploadProgress];
  retry: [retry: RetryDecision];
  warning: [warning: UploadWarning];
  /** `result` resolves with the same. */
  done: [result: UploadResult];
  /** `result` rejects with the same; a job that has a listener for it has its failures handled. */
  failed: [error: BitsError];
}
