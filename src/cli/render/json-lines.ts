import type {
  RetryDecision,
  UploadProgress,
  UploadResult,
  UploadState,
  UploadWarning,
} from '../../index.js';
import type { OutputStream } from '../io.js';
import { resumedLine, say, sayFailure } from './messages.js';
import type { EarlierUpload, Failure, Reporter, Target } from './reporter.js';

export interface JsonLinesOptions {
  /** Leaves out states, progress and retries. */
  readonly quiet: boolean;
}

/** For programs: one JSON object a line on standard output; errors are on standard error too. */
export class JsonLinesReporter implements Reporter {
  readonly tickEveryMs = undefined;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;
  readonly #options: JsonLinesOptions;
  #file: string | null = null;
  /** What the states of a file that is gone on with tell besides. */
  #earlier: { readonly id: string; readonly resumed: true } | undefined;

  constructor(stdout: OutputStream, stderr: OutputStream, options: JsonLinesOptions) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#options = options;
  }

  begin({ file }: Target): void {
    this.#file = file;
    this.#earlier = undefined;
  }

  resumed(target: Target, earlier: EarlierUpload): void {
    this.#earlier = { id: earlier.id, resumed: true };
    if (!this.#options.quiet) say(this.#stderr, resumedLine(target, earlier));
  }

  state(state: UploadState): void {
    if (this.#options.quiet) return;
    this.#write({ type: 'state', file: this.#file, state, ...this.#earlier });
  }

  progress(progress: UploadProgress): void {
    if (!this.#options.quiet) this.#write({ type: 'progress', file: this.#file, ...progress });
  }

  retry({ attempt, delayMs, error }: RetryDecision): void {
    if (this.#options.quiet) return;
    this.#write({ type: 'retry', file: this.#file, attempt, delayMs, ...shown(error) });
  }

  warning({ code, message }: UploadWarning): void {
    this.#write({ type: 'warning', file: this.#file, code, message });
  }

  done({ file }: Target, result: UploadResult): void {
    const { id, url, bytes, bytesSent, durationMs, resumed } = result;
    const reply = result.reply && { replyFile: result.reply.file, replyBytes: result.reply.bytes };
    this.#write({ type: 'result', file, url, id, bytes, bytesSent, durationMs, resumed, ...reply });
  }

  failed(target: Target, failure: Failure): void {
    const { file, url } = target;
    const { id, resumable, resumeCommand } = failure;
    this.#write({ type: 'error', file, url, ...shown(failure), id, resumable, resumeCommand });
    sayFailure(this.#stderr, target, failure);
  }

  tick(): void {}

  /** What is undefined is left out. */
  #write(object: Readonly<Record<string, unknown>>): void {
    this.#stdout.write(`${JSON.stringify(object)}\n`);
  }
}

function shown(failure: Failure): Failure {
  const { code, message, retryable, status, hresult, hresultName, context } = failure;
  return { code, message, retryable, status, hresult, hresultName, context };
}
