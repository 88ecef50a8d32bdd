import type { UploadProgress, UploadResult, UploadState } from '../../index.js';
import type { OutputStream } from '../context.js';
import {
  doneLine,
  type EarlierUpload,
  type Retry,
  resumedLine,
  type SkipReason,
  type Summary,
  skippedLine,
  summaryLine,
  type Target,
} from './messages.js';
import { Reporter } from './reporter.js';
import { say } from './text.js';
import { View } from './view.js';

export interface LineOptions {
  /** Also when an upload begins, waits and is retried, and where it stands. */
  readonly isDetailed: boolean;
  readonly now: () => number;
}

interface Shown {
  readonly view: View;
  /** The time without progress at which the next line is due. */
  nextIdleMs: number;
}

/** For a pipe or a log file: a line for each file, or for each event. */
export class LineReporter extends Reporter {
  override readonly tickEveryMs: number | undefined;
  protected readonly uploads = new Map<Target, Shown>();
  readonly #options: LineOptions;

  constructor(stderr: OutputStream, options: LineOptions) {
    super(stderr);
    this.#options = options;
    this.tickEveryMs = options.isDetailed ? TICK_MS : undefined;
  }

  override begin(target: Target): void {
    this.uploads.set(target, { view: new View(this.#options.now), nextIdleMs: 0 });
    this.#detail(target, `uploading to ${target.url}`);
  }

  override resumed(target: Target, earlier: EarlierUpload): void {
    say(this.stderr, resumedLine(target, earlier));
  }

  override state(target: Target, state: UploadState): void {
    this.uploads.get(target)?.view.state(state);
    if (state === 'await-reply') {
      this.#detail(target, 'uploaded; waiting for the application of the server');
    }
    if (state === 'get-reply') this.#detail(target, 'uploaded; downloading the reply');
  }

  override progress(target: Target, progress: UploadProgress): void {
    this.uploads.get(target)?.view.progress(progress);
  }

  override retry(target: Target, retry: Retry): void {
    this.uploads.get(target)?.view.retry(retry);
    const { attempt, delayMs, error } = retry;
    this.#detail(target, `retry ${attempt} in ${(delayMs / 1000).toFixed(1)} s: ${error.message}`);
  }

  override tick(): void {
    for (const [target, shown] of this.uploads) {
      // The line of the retry said it, and a wait is worth fewer lines the longer it lasts.
      if (shown.view.isRetrying || !isDue(shown)) continue;
      const { percent, amount, activity } = shown.view;
      const parts = [percent, amount, activity].filter((part) => part !== undefined);
      this.#detail(target, parts.join(', '));
    }
  }

  override done(target: Target, result: UploadResult, sha256?: string): void {
    this.uploads.delete(target);
    say(this.stderr, doneLine(target, result, sha256));
  }

  override failed(...args: Parameters<Reporter['failed']>): void {
    this.uploads.delete(args[0]);
    super.failed(...args);
  }

  override skippedFile(target: Target, reason: SkipReason): void {
    if (this.#options.isDetailed) say(this.stderr, skippedLine(target, reason));
  }

  override summary(summary: Summary): void {
    // A single file that was sent has had its line.
    if (summary.files > 1 || summary.skipped > 0) say(this.stderr, summaryLine(summary));
  }

  #detail({ file }: Target, text: string): void {
    if (this.#options.isDetailed) say(this.stderr, `${file ?? ''}: ${text}`);
  }
}

const TICK_MS = 5000;

function isDue(shown: Shown): boolean {
  const { idleMs } = shown.view;
  if (idleMs < TICK_MS) shown.nextIdleMs = 0;
  else if (idleMs < shown.nextIdleMs) return false;
  else shown.nextIdleMs = idleMs * 2;
  return true;
}
