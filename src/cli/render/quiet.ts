import type { UploadWarning } from '../../index.js';
import type { OutputStream } from '../io.js';
import { sayFailure, sayWarning } from './messages.js';
import type { Failure, Reporter, Target } from './reporter.js';

/** Warnings and errors only. */
export class QuietReporter implements Reporter {
  readonly tickEveryMs = undefined;
  readonly #stderr: OutputStream;

  constructor(stderr: OutputStream) {
    this.#stderr = stderr;
  }

  warning(warning: UploadWarning): void {
    sayWarning(this.#stderr, warning);
  }

  failed(target: Target, failure: Failure): void {
    sayFailure(this.#stderr, target, failure);
  }

  begin(): void {}
  resumed(): void {}
  state(): void {}
  progress(): void {}
  retry(): void {}
  tick(): void {}
  done(): void {}
}
