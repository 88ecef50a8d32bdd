import type {
  RetryDecision,
  UploadProgress,
  UploadResult,
  UploadState,
  UploadWarning,
} from '../../index.js';

/** One file of a command, as it is shown. */
export interface Target {
  /** As the caller wrote it; `-` is standard input. */
  readonly file: string | null;
  /** Complete, without values of a query; null when the URL given is none. */
  readonly url: string | null;
}

/** The part of an error that is shown. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly status?: number | undefined;
  readonly hresult?: number | undefined;
  readonly hresultName?: string | undefined;
  readonly context?: number | undefined;
  /** Of the job, when there was one. */
  readonly id?: string | undefined;
  /** Whether `resume` can go on with it. */
  readonly resumable?: boolean | undefined;
  /** For a shell; present when it is resumable. */
  readonly resumeCommand?: string | undefined;
}

/** An upload that was begun by an earlier run. */
export interface EarlierUpload {
  readonly id: string;
  /** Undefined while nothing of it was acknowledged. */
  readonly progress: UploadProgress | undefined;
}

/** Shows what happens to files that are uploaded one after the other. */
export interface Reporter {
  /** How often `tick` wants to be called while a file is on its way; undefined: never. */
  readonly tickEveryMs: number | undefined;
  begin(target: Target): void;
  /** The file goes on where an earlier run left it. */
  resumed(target: Target, earlier: EarlierUpload): void;
  state(state: UploadState): void;
  progress(progress: UploadProgress): void;
  retry(decision: RetryDecision): void;
  warning(warning: UploadWarning): void;
  /** Time has passed. */
  tick(): void;
  done(target: Target, result: UploadResult): void;
  failed(target: Target, failure: Failure): void;
}

export function isFailure(error: unknown): error is Error & Failure {
  if (!(error instanceof Error)) return false;
  const { code, retryable } = error as Error & Partial<Failure>;
  return typeof code === 'string' && typeof retryable === 'boolean';
}
