import type { QueueProgress } from '../../index.js';
import type { OutputStream } from '../context.js';
import { timeLeftMs } from './rows.js';
import { say } from './text.js';
import { formatBytes, formatClock } from './units.js';
import type { Watcher } from './watchers.js';

/** For a pipe or a log file: where all files together stand, from time to time. */
export class Heartbeat implements Watcher {
  readonly tickEveryMs: number;
  readonly #to: OutputStream;
  #total: QueueProgress | undefined;
  #isNew = false;

  constructor(to: OutputStream, everyMs: number) {
    this.#to = to;
    this.tickEveryMs = everyMs;
  }

  total(progress: QueueProgress): void {
    this.#total = progress;
    this.#isNew = true;
  }

  tick(): void {
    const total = this.#total;
    if (total === undefined) return;
    const { filesDone, filesFailed, filesRunning, filesWaiting, bytesSent } = total;
    const files = filesDone + filesFailed + filesRunning + filesWaiting;
    const parts = [
      `${filesDone} of ${files} files stored`,
      ...(filesFailed > 0 ? [`${filesFailed} failed`] : []),
      `${formatBytes(bytesSent)} sent`,
      this.#isNew ? speedOf(total) : 'no progress since the last line',
    ];
    this.#isNew = false;
    say(this.#to, parts.join(', '));
  }
}

function speedOf(total: QueueProgress): string {
  const speed = `${formatBytes(total.bytesPerSecond)}/s`;
  const leftMs = timeLeftMs(total);
  return leftMs === undefined ? speed : `${speed}, about ${formatClock(leftMs)} left`;
}
