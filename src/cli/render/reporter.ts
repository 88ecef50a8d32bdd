import type { UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import type { Failure } from '../failure.js';
import {
  type EarlierUpload,
  type Retry,
  sayFailure,
  saySkipped,
  sayWarning,
  type Target,
  type Warning,
} from './messages.js';

/**
 * Shows what happens to files that are uploaded one after the other: warnings and errors, as `--quiet`
 * asks for. Subclasses show more.
 */
export class Reporter {
  /** The interval of `tick` during an upload; undefined: never. */
  readonly tickEveryMs: number | undefined = undefined;
  protected readonly stderr: OutputStream;

  constructor(stderr: OutputStream) {
    this.stderr = stderr;
  }

  warning(warning: Warning): void {
    sayWarning(this.stderr, warning);
  }

  failed(target: Target, failure: Failure): void {
    sayFailure(this.stderr, target, failure);
  }

  /** Uploads that were not tried. */
  skipped(skipped: readonly { readonly target: Target; readonly failure: Failure }[]): void {
    saySkipped(this.stderr, skipped);
  }

  begin(_target: Target): void {}
  /** The upload continues where an earlier run stopped. */
  resumed(_target: Target, _earlier: EarlierUpload): void {}
  state(_state: UploadState): void {}
  progress(_progress: UploadProgress): void {}
  retry(_retry: Retry): void {}
  tick(): void {}
  done(_target: Target, _result: UploadResult): void {}
}
