import type {
  RetryDecision,
  UploadProgress,
  UploadResult,
  UploadState,
  UploadWarning,
} from '../../index.js';
import type { OutputStream } from '../io.js';
import { doneLine, resumedLine, say, sayFailure, sayWarning } from './messages.js';
import type { EarlierUpload, Failure, Reporter, Target } from './reporter.js';
import { View } from './view.js';

/** For a pipe or a log file: a line now and then, and one for what matters. */
export class LineReporter implements Reporter {
  readonly tickEveryMs = 5000;
  readonly #stderr: OutputStream;
  readonly #now: () => number;
  #view: View;
  #name = '';

  constructor(stderr: OutputStream, now: () => number) {
    this.#stderr = stderr;
    this.#now = now;
    this.#view = new View(now);
  }

  begin({ file, url }: Target): void {
    this.#view = new View(this.#now);
    this.#name = file ?? '';
    this.#say(`uploading to ${url}`);
  }

  resumed(target: Target, earlier: EarlierUpload): void {
    say(this.#stderr, resumedLine(target, earlier));
  }

  state(state: UploadState): void {
    this.#view.state(state);
    if (state === 'await-reply') this.#say("uploaded; waiting for the server's application");
    if (state === 'get-reply') this.#say('uploaded; downloading the reply');
  }

  progress(progress: UploadProgress): void {
    this.#view.progress(progress);
  }

  retry(decision: RetryDecision): void {
    this.#view.retry(decision);
    const { attempt, delayMs, error } = decision;
    this.#say(`retry ${attempt} in ${(delayMs / 1000).toFixed(1)} s: ${error.message}`);
  }

  warning(warning: UploadWarning): void {
    sayWarning(this.#stderr, warning);
  }

  tick(): void {
    const { percent, amount, activity } = this.#view;
    const parts = [percent, amount, activity].filter((part) => part !== undefined);
    this.#say(parts.join(', '));
  }

  done(target: Target, result: UploadResult): void {
    say(this.#stderr, doneLine(target, result));
  }

  failed(target: Target, failure: Failure): void {
    sayFailure(this.#stderr, target, failure);
  }

  #say(text: string): void {
    say(this.#stderr, `${this.#name}: ${text}`);
  }
}
