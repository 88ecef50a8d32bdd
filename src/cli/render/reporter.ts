import type { QueueProgress, UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import {
  type EarlierUpload,
  firstNames,
  type Refusal,
  type Retry,
  type SkipReason,
  type Summary,
  sayFailure,
  sayWarning,
  type Target,
  type Warning,
} from './messages.js';
import { say } from './text.js';

/**
 * Shows what happens to files, several of which are uploaded at once: warnings and errors, as `--quiet`
 * asks for. Subclasses show more.
 */
export class Reporter {
  /** The interval of `tick` during uploads; undefined: never. */
  readonly tickEveryMs: number | undefined = undefined;
  protected readonly stderr: OutputStream;

  constructor(stderr: OutputStream) {
    this.stderr = stderr;
  }

  /** @param _target undefined: the warning is about no file, or about the whole command */
  warning(warning: Warning, _target?: Target): void {
    sayWarning(this.stderr, warning);
  }

  failed(target: Target, failure: Failure): void {
    sayFailure(this.stderr, target, failure);
  }

  /** Uploads that were not tried, by the reason. */
  skipped(skipped: readonly Refusal[]): void {
    const files = new Map<string, string[]>();
    for (const { target, failure } of skipped) {
      const names = files.get(failure.message) ?? [];
      names.push(target.file ?? '');
      files.set(failure.message, names);
    }
    for (const [message, names] of files) {
      say(this.stderr, `bits-upload: ${message}: ${firstNames(names)}`);
    }
  }

  /** A file that is not sent, and why. */
  skippedFile(_target: Target, _reason: SkipReason): void {}
  /** What `--dry-run` would send; the size of standard input may be unknown. */
  planned(_target: Target, _bytes: number | undefined): void {}
  begin(_target: Target): void {}
  /** The upload continues where an earlier run stopped. */
  resumed(_target: Target, _earlier: EarlierUpload): void {}
  state(_target: Target, _state: UploadState): void {}
  progress(_target: Target, _progress: UploadProgress): void {}
  /** No more files follow those that were told of. */
  allFound(): void {}
  /** Of all files together. */
  total(_progress: QueueProgress): void {}
  retry(_target: Target, _retry: Retry): void {}
  tick(): void {}
  /** @param _sha256 of the local file, if it was asked for */
  done(_target: Target, _result: UploadResult, _sha256?: string): void {}
  /** The command has ended. */
  summary(_summary: Summary): void {}
}
