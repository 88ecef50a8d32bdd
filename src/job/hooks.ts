import type { SessionState } from '../session/session.js';
import type { UploadProgress } from './progress.js';
import type { RetryDecision } from './retry.js';

export interface UploadWarning {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
}

/** A session's state, or `await-reply`: all is sent, and the server's application works. */
export type UploadState = SessionState | 'await-reply';

export interface RunHooks {
  readonly onState: (state: UploadState) => void;
  readonly onProgress: (progress: UploadProgress) => void;
  readonly onRetry: (decision: RetryDecision) => void;
  readonly onWarning: (warning: UploadWarning) => void;
  /** The session of an earlier run is of another content: all was done to free it. */
  readonly onSessionGivenUp: () => void;
  /** The caller stopped the job while that session was being freed: it may be gone, or not. */
  readonly onCancelCutShort: () => void;
  /** Another process may have taken the job over. */
  readonly onLockLost: () => void;
}
