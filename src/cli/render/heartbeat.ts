import type { QueueProgress } from '../../index.js';
import type { OutputStream } from '../context.js';
import { filesOf, speedOf } from './rows.js';
import { say } from './text.js';
import { formatBytes } from './units.js';
import type { Watcher } from './watchers.js';

/** For a pipe or a log file: where all files together stand, from time to time. */
export class Heartbeat implements Watcher {
  readonly tickEveryMs: number;
  readonly #to: OutputStream;
  #total: QueueProgress | undefined;
  #isNew = false;
  #isAllFound = false;

  constructor(to: OutputStream, everyMs: number) {
    this.#to = to;
    this.tickEveryMs = everyMs;
  }

  total(progress: QueueProgress): void {
    this.#total = progress;
    this.#isNew = true;
  }

  allFound(): void {
    this.#isAllFound = true;
  }

  tick(): void {
    if (this.#total === undefined) return;
    const total = { ...this.#total, isAllFound: this.#isAllFound };
    const { filesDone, filesFailed, bytesSent } = total;
    const parts = [
      `${filesDone} of ${filesOf(total)} files stored`,
      ...(filesFailed > 0 ? [`${filesFailed} failed`] : []),
      `${formatBytes(bytesSent)} sent`,
      this.#isNew ? speedOf(total) : 'no progress since the last line',
    ];
    this.#isNew = false;
    say(this.#to, parts.join(', '));
  }
}
