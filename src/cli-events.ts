import type {
  BitsErrorCode,
  DiagnosisStep,
  LockOwner,
  UploadProgress,
  UploadState,
} from './index.js';

/**
 * One line of what `bits-upload … --json` writes to standard output.
 *
 * Unknown values are left out. Later releases may add fields and types of events: ignore those that you
 * do not know.
 */
export type CliEvent =
  | StateEvent
  | ProgressEvent
  | RetryEvent
  | WarningEvent
  | UploadResultEvent
  | CancelResultEvent
  | SkippedEvent
  | PlannedEvent
  | ErrorEvent
  | SummaryEvent
  | JobEvent
  | ProblemEvent
  | StepEvent
  | EnqueuedEvent
  | WorkerReadyEvent
  | JobStartedEvent
  | JobProgressEvent
  | JobDoneEvent
  | JobReturnedEvent
  | JobFailedEvent
  | FleetEvent
  | FleetUploadEvent
  | FleetFailureEvent;

/** An upload enters a state; of `put` and `resume`. */
export interface StateEvent {
  readonly type: 'state';
  /** As on the command line; `-` is standard input. */
  readonly file: string | null;
  readonly state: UploadState;
  /** Of an upload that an earlier command began. */
  readonly id?: string | undefined;
  /** True for an upload that an earlier command began. */
  readonly resumed?: boolean | undefined;
}

/** How far an upload is; of `put` and `resume`, at most ten a second for each file. */
export interface ProgressEvent extends Omit<UploadProgress, 'etaMs' | 'replyBytesTotal'> {
  readonly type: 'progress';
  readonly file: string | null;
  /** Time left at this speed, in milliseconds. */
  readonly etaMs?: number | undefined;
  readonly replyBytesTotal?: number | undefined;
}

/** An attempt failed, and is repeated after `delayMs`; of `put` and `resume`. */
export interface RetryEvent extends ErrorDetails {
  readonly type: 'retry';
  readonly file: string | null;
  /** 1 for the first retry since the last progress. */
  readonly attempt: number;
  readonly delayMs: number;
}

/** Something to know about an upload that goes on, or about the whole command. */
export interface WarningEvent {
  readonly type: 'warning';
  /** Null: about the whole command. */
  readonly file: string | null;
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
}

/** A file is stored on the server; of `put` and `resume`. */
export interface UploadResultEvent {
  readonly type: 'result';
  readonly file: string | null;
  /** Where the file is now; values of a query are left out. */
  readonly url: string;
  readonly id: string;
  /** Size of the file. */
  readonly bytes: number;
  /** More than `bytes` when some were sent again. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Whether an earlier command began the upload. */
  readonly resumed: boolean;
  /** `presumed`: no answer confirmed Close-Session, and the server no longer knows the session. */
  readonly closed: 'acknowledged' | 'presumed';
  /** Of the local file, in lower-case hexadecimal; with --checksum. */
  readonly sha256?: string | undefined;
  readonly replyFile?: string | undefined;
  readonly replyBytes?: number | undefined;
}

/** An unfinished upload was cancelled or discarded; of `cancel` and `prune`. */
export interface CancelResultEvent {
  readonly type: 'result';
  readonly file: string | null;
  readonly url: string | null;
  readonly id: string;
  /** Why `prune` discarded it. */
  readonly reason?: string | undefined;
  /** False: the server did not confirm that it removed the session. */
  readonly freed: boolean;
}

/** A file that is not sent; of `put`. */
export interface SkippedEvent {
  readonly type: 'skipped';
  readonly file: string | null;
  readonly url: string | null;
  readonly reason: 'finished' | 'same-size' | 'link' | 'special' | 'repeated';
}

/** What would be sent; of `put --dry-run`. */
export interface PlannedEvent {
  readonly type: 'planned';
  readonly file: string | null;
  readonly url: string | null;
  /** Null: of standard input. */
  readonly bytes: number | null;
}

/** A file, or the whole command, failed; also a wrong command line (`BITS_ERR_ARGUMENT`). */
export interface ErrorEvent extends ErrorDetails {
  readonly type: 'error';
  /** Null: the whole command. */
  readonly file: string | null;
  readonly url: string | null;
  /** Of the upload, if it had begun. */
  readonly id?: string | undefined;
  /** Whether `bits-upload resume` can resume it. */
  readonly resumable?: boolean | undefined;
  /** For a shell; set when it is resumable. */
  readonly resumeCommand?: string | undefined;
}

/** What went wrong, in the fields that errors and retries share. */
export interface ErrorDetails {
  /** `ERR_UNEXPECTED` is a bug of bits-upload. */
  readonly code: BitsErrorCode | 'ERR_UNEXPECTED';
  readonly message: string;
  /** Whether the same attempt may succeed later. */
  readonly retryable: boolean;
  /** HTTP status of the answer. */
  readonly status?: number | undefined;
  /** What the server gave as its error, as an unsigned 32-bit number. */
  readonly hresult?: number | undefined;
  readonly hresultName?: string | undefined;
  /** `BITS-Error-Context`: 5 the server, 7 the server application. */
  readonly context?: number | undefined;
}

/** The last line of `put` and `resume`, unless the command line is wrong. */
export interface SummaryEvent {
  readonly type: 'summary';
  readonly files: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Stopped, or not begun because the command was stopped. */
  readonly unfinished: number;
  /** Not sent: on the server already, or no file to upload. */
  readonly skipped: number;
  /** Of `--dry-run`: how many would be sent. */
  readonly planned?: number | undefined;
  /** Of the stored files. */
  readonly bytes: number;
  /** By this command, also of files that are not stored. */
  readonly bytesSent: number;
  readonly durationMs: number;
}

/** An unfinished upload; of `jobs`. */
export interface JobEvent {
  readonly type: 'job';
  readonly id: string;
  readonly file: string | null;
  readonly url: string | null;
  /** Acknowledged by the server. */
  readonly bytes: number;
  readonly bytesTotal: number;
  /** When its record was last written. */
  readonly state: string;
  /** The file, compared with the one that the upload began with. */
  readonly source: 'unchanged' | 'changed' | 'gone' | 'unreadable';
  /** The process that is uploading the file now. */
  readonly process: LockOwner | null;
  /** ISO 8601. */
  readonly createdAt: string;
  /** ISO 8601. */
  readonly updatedAt: string;
  /** Since `updatedAt`. */
  readonly ageMs: number;
  readonly replyFile?: string | undefined;
}

/** A record that cannot be read; of `jobs` and `prune`. */
export interface ProblemEvent {
  readonly type: 'problem';
  readonly where: string;
  readonly message: string;
  /** Of `prune`: whether it was deleted. */
  readonly removed?: boolean | undefined;
}

/** What one step found; of `ping`. */
export interface StepEvent extends Omit<DiagnosisStep, 'advice' | 'code'> {
  readonly type: 'step';
  /** What to check. */
  readonly advice?: string | undefined;
  /** The code of the error that an upload would fail with. */
  readonly code?: BitsErrorCode | undefined;
}

/** A file is in the queue of a fleet; of `enqueue`. */
export interface EnqueuedEvent {
  readonly type: 'enqueued';
  readonly file: string | null;
  readonly url: string | null;
  /** Of the job of BullMQ. */
  readonly id: string;
  readonly bytes: number;
}

/** The worker takes jobs; of `worker`. */
export interface WorkerReadyEvent {
  readonly type: 'ready';
  /** What it is called in the fleet. */
  readonly worker: string;
}

/** A job of a fleet, in the events that tell of it. */
interface FleetJobFields {
  /** Id of the job of BullMQ. */
  readonly job: string;
  /** Path or reference. */
  readonly file: string;
  readonly url: string;
}

/** The worker took a job; of `worker`. */
export interface JobStartedEvent extends FleetJobFields {
  readonly type: 'started';
}

/** How far a job is, once a second; of `worker`. */
export interface JobProgressEvent extends FleetJobFields {
  readonly type: 'job-progress';
  readonly state: UploadState;
  /** Acknowledged by the server. */
  readonly bytes: number;
  readonly bytesTotal?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
}

/** The file of a job is stored; of `worker`. */
export interface JobDoneEvent
  extends FleetJobFields,
    Omit<UploadResultEvent, 'type' | 'id' | 'file' | 'url'> {
  readonly type: 'job-done';
}

/** The worker could not do the job, or was stopped: another one may take it; of `worker`. */
export interface JobReturnedEvent extends FleetJobFields {
  readonly type: 'returned';
  readonly reason: string;
  readonly delayMs: number;
}

/** An attempt at a job failed; of `worker`. */
export interface JobFailedEvent extends FleetJobFields {
  readonly type: 'job-failed';
  readonly message: string;
  /** Whether no further attempt follows. */
  readonly final: boolean;
}

/** The workers of a queue, and its jobs by their state; of `fleet`. */
export interface FleetEvent {
  readonly type: 'fleet';
  readonly queue: string;
  /** Whether workers take no job from it. */
  readonly paused: boolean;
  readonly workers: readonly string[];
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly completed: number;
  readonly failed: number;
}

/** An upload that a worker is at; of `fleet`. */
export interface FleetUploadEvent extends FleetJobFields {
  readonly type: 'fleet-upload';
  readonly worker?: string | undefined;
  readonly state: string;
  /** Acknowledged by the server. */
  readonly bytes: number;
  readonly bytesTotal?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
  /** ISO 8601. */
  readonly startedAt?: string | undefined;
}

/** A job that failed for good; of `fleet`. */
export interface FleetFailureEvent extends FleetJobFields {
  readonly type: 'fleet-failure';
  readonly message: string;
}
