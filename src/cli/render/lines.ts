import type { UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import { doneLine, type EarlierUpload, type Retry, resumedLine, type Target } from './messages.js';
import { Reporter } from './reporter.js';
import { say } from './text.js';
import { View } from './view.js';

/** For a pipe or a log file: progress now and then, and a line for each event. */
export class LineReporter extends Reporter {
  override readonly tickEveryMs = 5000;
  readonly #now: () => number;
  #view: View;
  #name = '';
  /** The time without progress at which the next line is due. */
  #nextIdleMs = 0;

  constructor(stderr: OutputStream, now: () => number) {
    super(stderr);
    this.#now = now;
    this.#view = new View(now);
  }

  override begin({ file, url }: Target): void {
    this.#view = new View(this.#now);
    this.#name = file ?? '';
    this.#say(`uploading to ${url}`);
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    say(this.stderr, resumedLine(target, earlier));
  }

  override state(state: UploadState): void {
    this.#view.state(state);
    if (state === 'await-reply') this.#say('uploaded; waiting for the application of the server');
    if (state === 'get-reply') this.#say('uploaded; downloading the reply');
  }

  override progress(progress: UploadProgress): void {
    this.#view.progress(progress);
  }

  override retry(retry: Retry): void {
    this.#view.retry(retry);
    const { attempt, delayMs, error } = retry;
    this.#say(`retry ${attempt} in ${(delayMs / 1000).toFixed(1)} s: ${error.message}`);
  }

  override tick(): void {
    // The line of the retry said it, and a wait is worth fewer lines the longer it lasts.
    if (this.#view.isRetrying || !this.#isDue()) return;
    const { percent, amount, activity } = this.#view;
    const parts = [percent, amount, activity].filter((part) => part !== undefined);
    this.#say(parts.join(', '));
  }

  override done(target: Target, result: UploadResult): void {
    say(this.stderr, doneLine(target, result));
  }

  #isDue(): boolean {
    const { idleMs } = this.#view;
    if (idleMs < this.tickEveryMs) this.#nextIdleMs = 0;
    else if (idleMs < this.#nextIdleMs) return false;
    else this.#nextIdleMs = idleMs * 2;
    return true;
  }

  #say(text: string): void {
    say(this.stderr, `${this.#name}: ${text}`);
  }
}
