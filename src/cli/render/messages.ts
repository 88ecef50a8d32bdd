import type { ErrorEvent, SkippedEvent, SummaryEvent, WarningEvent } from '../../cli-events.js';
import type { UploadProgress, UploadResult } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import { say } from './text.js';
import { formatBytes, formatElapsed } from './units.js';

const PROGRAM = 'bits-upload';

/** So many file names are listed in a message. */
const MAX_NAMES = 10;

/** One file of a command, as it is shown. */
export type Target = Pick<ErrorEvent, 'file' | 'url'>;

/** Of a file with a valid URL. */
export type UploadTarget = { readonly file: string; readonly url: string };

export type Warning = Pick<WarningEvent, 'code' | 'message'>;

/** A failed attempt that is repeated after a time. */
export interface Retry {
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: Failure;
}

/** An upload that an earlier run began. */
export interface EarlierUpload {
  readonly id: string;
  /** Undefined while no byte of it is acknowledged. */
  readonly progress: UploadProgress | undefined;
}

/** An upload that was not tried. */
export interface Refusal {
  readonly target: Target;
  readonly failure: Failure;
}

export type SkipReason = SkippedEvent['reason'];

/** Why a file is not sent though nothing is wrong with it. */
const SKIP_REASONS: Readonly<Record<SkipReason, string>> = {
  finished: 'an earlier run of this command has stored it',
  'same-size': 'the server has a file of this size',
  link: 'it is a symbolic link: --follow-links follows it',
  special: 'it is no regular file',
  repeated: 'it is named more than once, and sent once',
};

/** What became of all files of a command. */
export type Summary = Omit<SummaryEvent, 'type'>;

export function sayFailure(stream: OutputStream, { file }: Target, failure: Failure): void {
  const { message, resumeCommand } = failure;
  say(stream, file === null ? `${PROGRAM}: ${message}` : `${PROGRAM}: ${file}: ${message}`);
  if (resumeCommand !== undefined) say(stream, `${PROGRAM}: to resume it: ${resumeCommand}`);
}

/** `a, b and 90 more` */
export function firstNames(names: readonly string[]): string {
  const first = names.slice(0, MAX_NAMES).join(', ');
  return names.length > MAX_NAMES ? `${first} and ${names.length - MAX_NAMES} more` : first;
}

/** `photos/a.jpg: skipped: the server has a file of this size` */
export function skippedLine({ file }: Target, reason: SkipReason): string {
  return `${file}: skipped: ${SKIP_REASONS[reason]}`;
}

export function sayWarning(stream: OutputStream, { message }: Pick<Warning, 'message'>): void {
  say(stream, `${PROGRAM}: warning: ${message}`);
}

/** `dump.zip: resuming upload 0190…: 12.0 MiB of 64.0 MiB are on the server` */
export function resumedLine({ file }: Target, { id, progress }: EarlierUpload): string {
  const { bytesAcknowledged = 0, bytesTotal } = progress ?? {};
  const onServer =
    bytesTotal === undefined
      ? ''
      : `: ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)} are on the server`;
  return `${file}: resuming upload ${id}${onServer}`;
}

/** `dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)` */
export function doneLine({ file }: Target, result: UploadResult, sha256?: string): string {
  const digest = sha256 === undefined ? '' : `; SHA-256 ${sha256}`;
  return `${file}: done, ${formatBytes(result.bytes)} in ${timing(result)}${replyOf(result)}${digest}`;
}

/** `12 of 14 files stored, 1 skipped, 1 failed: 34.0 MiB sent in 3.2 s` */
export function summaryLine(summary: Summary): string {
  const { files, succeeded, failed, unfinished, skipped, planned } = summary;
  const { bytes, bytesSent, durationMs } = summary;
  const parts = [
    planned === undefined
      ? `${succeeded} of ${files} files stored`
      : `${planned} of ${files} files, ${formatBytes(bytes)}, would be sent`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(unfinished > 0 ? [`${unfinished} unfinished`] : []),
  ];
  if (planned !== undefined) return parts.join(', ');
  return `${parts.join(', ')}: ${formatBytes(bytesSent)} sent in ${formatElapsed(durationMs)}`;
}

function replyOf({ reply }: UploadResult): string {
  if (reply === undefined) return '';
  return `; reply of ${formatBytes(reply.bytes)}${reply.file === undefined ? '' : ` in ${reply.file}`}`;
}

function timing({ bytesSent, durationMs }: UploadResult): string {
  const elapsed = formatElapsed(durationMs);
  if (bytesSent === 0 || durationMs === 0) return elapsed;
  return `${elapsed} (${formatBytes(Math.round((bytesSent / durationMs) * 1000))}/s)`;
}
