import { idleClock } from '../common/clock.js';
import { etaMs, SpeedMeter, type UploadProgress } from '../job/progress.js';

/** Where a queue stands; bytes are those of the jobs that have begun. */
export interface QueueProgress {
  /** Waiting for their turn, those that were suspended to make room included. */
  readonly filesWaiting: number;
  readonly filesRunning: number;
  /** Suspended by their user. */
  readonly filesSuspended: number;
  readonly filesDone: number;
  /** Failed, aborted, cancelled, refused or not begun. */
  readonly filesFailed: number;
  readonly bytesSent: number;
  readonly bytesTotal: number;
  /** Smoothed over a few seconds. */
  readonly bytesPerSecond: number;
  /** Time left for the jobs that have begun; undefined while some wait, or the speed is unknown. */
  readonly etaMs: number | undefined;
}

type Counts = Pick<QueueProgress, 'filesWaiting' | 'filesRunning' | 'filesSuspended'>;

/** How often progress is told at most. */
const MIN_INTERVAL_MS = 100;

/** The sum of what the jobs of a queue tell. */
export class QueueTotals {
  readonly #tell: () => void;
  readonly #speed: SpeedMeter;
  #bytesSent = 0;
  #bytesTotal = 0;
  #filesDone = 0;
  #filesFailed = 0;
  #isDue = false;

  /** @param tell called when there is something new, not more often than anybody can look */
  constructor(tell: () => void) {
    this.#tell = tell;
    this.#speed = new SpeedMeter(idleClock.now);
  }

  /**
   * A job stands elsewhere than before.
   * @param change `isEarlier`: an earlier run has sent the bytes
   */
  moved(before: Share, now: Share, { isEarlier }: { readonly isEarlier: boolean }): void {
    this.#bytesSent += now.bytesSent - before.bytesSent;
    this.#bytesTotal += now.bytesTotal - before.bytesTotal;
    if (!isEarlier) this.#speed.add(Math.max(0, now.bytesSent - before.bytesSent));
    this.changed();
  }

  ended(how: 'done' | 'failed'): void {
    if (how === 'done') this.#filesDone++;
    else this.#filesFailed++;
    this.changed();
  }

  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    idleClock.schedule(() => {
      this.#isDue = false;
      this.#tell();
    }, MIN_INTERVAL_MS);
  }

  progress(counts: Counts): QueueProgress {
    const { bytesPerSecond } = this.#speed;
    const isAllKnown = counts.filesWaiting === 0;
    return {
      ...counts,
      filesDone: this.#filesDone,
      filesFailed: this.#filesFailed,
      bytesSent: this.#bytesSent,
      bytesTotal: this.#bytesTotal,
      bytesPerSecond: Math.round(bytesPerSecond),
      etaMs: isAllKnown ? etaMs(this.#bytesTotal - this.#bytesSent, bytesPerSecond) : undefined,
    };
  }
}

/** A job's part of the bytes. */
export type Share = Pick<UploadProgress, 'bytesSent' | 'bytesTotal'>;

export const NO_SHARE: Share = { bytesSent: 0, bytesTotal: 0 };
