import type { UploadResult, UploadWarning } from '../../index.js';
import { clean, type OutputStream } from '../io.js';
import type { EarlierUpload, Failure, Target } from './reporter.js';
import { formatBytes, formatElapsed } from './units.js';

const PROGRAM = 'bits-upload';

/** A line for a person, free of escape sequences that a name or a server may hold. */
export function say(stream: OutputStream, text: string): void {
  stream.write(`${clean(text)}\n`);
}

export function sayFailure(stream: OutputStream, { file }: Target, failure: Failure): void {
  const { message, resumeCommand } = failure;
  say(stream, file === null ? `${PROGRAM}: ${message}` : `${PROGRAM}: ${file}: ${message}`);
  if (resumeCommand !== undefined) say(stream, `${PROGRAM}: to go on: ${resumeCommand}`);
}

/** `dump.zip: resuming upload 0190…: 12.0 MiB of 64.0 MiB are on the server` */
export function resumedLine({ file }: Target, { id, progress }: EarlierUpload): string {
  const { bytesAcknowledged = 0, bytesTotal } = progress ?? {};
  const there =
    bytesTotal === undefined
      ? ''
      : `: ${formatBytes(bytesAcknowledged)} of ${formatBytes(bytesTotal)} are on the server`;
  return `${file}: resuming upload ${id}${there}`;
}

export function sayWarning(stream: OutputStream, { message }: UploadWarning): void {
  say(stream, `${PROGRAM}: warning: ${message}`);
}

/** `dump.zip: done, 64.0 MiB in 3.2 s (20.0 MiB/s)` */
export function doneLine({ file }: Target, result: UploadResult): string {
  return `${file}: done, ${formatBytes(result.bytes)} in ${timing(result)}${replyOf(result)}`;
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
