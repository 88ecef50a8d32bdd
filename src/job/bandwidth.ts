import { acceptOtherCopies } from '../across-copies.js';
import { abortError, onAbort } from '../common/abort.js';
import { assertKnown, flag, isObject, mustBe, type OptionNames } from '../common/check-options.js';
import { busyClock } from '../common/clock.js';
import { parseSchedule, rateAt, type ScheduleEntry } from './bandwidth-schedule.js';

/** How fast the bytes of one job, or of several that share a `Bandwidth`, may go. */
export interface BandwidthOptions {
  /** The most that is sent in a second; `Infinity`: no limit. @default Infinity */
  bytesPerSecond?: number | undefined;
  /**
   * Speeds by local time of day, such as `08:00-18:00=1MB/s`; several are separated by commas, and the
   * first that fits counts. `bytesPerSecond` counts at all other times. @default none
   */
  schedule?: string | undefined;
  /** Whether the bytes of a reply are limited, too. @default false */
  replies?: boolean | undefined;
}

/** Time as a limit of bandwidth sees it; a test brings its own. */
export interface BandwidthClock {
  /** Milliseconds since some moment. */
  readonly now: () => number;
  readonly localTime: () => Pick<Date, 'getHours' | 'getMinutes'>;
  /** @returns what stops the timer */
  readonly setTimer: (work: () => void, delayMs: number) => () => void;
}

const SYSTEM: BandwidthClock = {
  now: busyClock.now,
  localTime: () => new Date(),
  setTimer: busyClock.schedule,
};

const OPTION_NAMES: OptionNames<BandwidthOptions> = {
  bytesPerSecond: true,
  schedule: true,
  replies: true,
};

/** What is granted at once: short enough to flow evenly, long enough to cost nothing. */
const GRANT_MS = 50;
const MIN_GRANT_BYTES = 256;
const MAX_GRANT_BYTES = 1024 * 1024;

/** What was not used in the last moments, as while an answer is waited for, may be made up for. */
const MAX_CREDIT_MS = 300;

/** The longest wait without another look at the schedule. */
const MAX_WAIT_MS = 1000;

interface Waiting {
  readonly bytes: number;
  readonly grant: (bytes: number) => void;
}

/**
 * A limit of bandwidth, of one job or shared by several; it can be changed at any time.
 *
 * It counts the bytes of files, and those of replies on request; headers come on top. The share of each
 * of several transfers is the same. A token bucket of our own: those of npm count whole requests, burst
 * by a second's worth, or cannot change their speed while somebody waits.
 */
export class Bandwidth {
  readonly #clock: BandwidthClock;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  #schedule: readonly ScheduleEntry[] = [];
  #replies = false;
  /** Bytes per second in force since `#filledAtMs`. */
  #rate: number;
  /** Bytes that may be granted now; less than 0 after a grant. */
  #credit = 0;
  #filledAtMs: number;
  readonly #waiting = new Set<Waiting>();
  #stopTimer: (() => void) | undefined;

  /**
   * @param clock for tests
   * @throws BITS_ERR_ARGUMENT
   */
  constructor(options: BandwidthOptions = {}, clock: BandwidthClock = SYSTEM) {
    this.#clock = clock;
    this.#take(options);
    this.#rate = this.#rateNow();
    this.#filledAtMs = clock.now();
  }

  /** The speed in force now, by the schedule; `Infinity`: unlimited. */
  get currentBytesPerSecond(): number {
    return this.#rateNow();
  }

  /** Whether the bytes of replies are limited, too. */
  get replies(): boolean {
    return this.#replies;
  }

  /**
   * Changes what is given, from the next byte on; `schedule: ''` removes the schedule.
   * @throws BITS_ERR_ARGUMENT
   */
  change(options: BandwidthOptions): void {
    this.#take(options);
    this.#serve();
  }

  /**
   * Waits until bytes may be sent.
   * @param bytes so many are wanted
   * @returns how many may be sent now: at least one
   * @throws BITS_ERR_ABORTED, or the signal's reason
   */
  grant(bytes: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        bytes,
        grant: (granted) => {
          listening?.[Symbol.dispose]();
          resolve(granted);
        },
      };
      let listening: Disposable | undefined;
      this.#waiting.add(waiting);
      listening = onAbort(signal, () => {
        this.#waiting.delete(waiting);
        reject(abortError(signal));
      });
      this.#serve();
    });
  }

  #take(options: BandwidthOptions): void {
    mustBe(isObject(options), 'bandwidth', 'an object of options, or a Bandwidth');
    assertKnown('bandwidth.', options, OPTION_NAMES);
    const { bytesPerSecond = this.#bytesPerSecond, schedule } = options;
    const isRate = typeof bytesPerSecond === 'number' && bytesPerSecond >= 1;
    mustBe(isRate, 'bandwidth.bytesPerSecond', 'a number from 1 on, or Infinity');
    const replies = flag('bandwidth.replies', options.replies, this.#replies);
    if (schedule !== undefined) this.#schedule = parseSchedule(schedule);
    this.#bytesPerSecond = bytesPerSecond;
    this.#replies = replies;
  }

  #rateNow(): number {
    if (this.#schedule.length === 0) return this.#bytesPerSecond;
    return rateAt(this.#schedule, this.#bytesPerSecond, this.#clock.localTime());
  }

  #fill(): void {
    const nowMs = this.#clock.now();
    const elapsedMs = Math.max(0, nowMs - this.#filledAtMs);
    const rate = this.#rateNow();
    // Of a time without a limit nothing is left to make up for.
    const earned = Number.isFinite(this.#rate) ? (elapsedMs / 1000) * this.#rate : 0;
    const most = (MAX_CREDIT_MS / 1000) * rate;
    const credit = this.#credit + earned;
    // What is owed is waited for no longer than before: at a much lower speed, as many bytes take minutes.
    const present = credit < 0 ? Math.max(credit, (credit * rate) / this.#rate) : credit;
    this.#credit = Number.isFinite(rate) ? Math.min(most, present) : 0;
    this.#rate = rate;
    this.#filledAtMs = nowMs;
  }

  #serve(): void {
    this.#fill();
    for (const waiting of this.#waiting) {
      if (this.#credit < 0) break;
      this.#waiting.delete(waiting);
      const granted = Math.min(waiting.bytes, this.#grantBytes);
      if (Number.isFinite(this.#rate)) this.#credit -= granted;
      waiting.grant(granted);
    }
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (this.#waiting.size === 0) return;
    const waitMs = Math.min(MAX_WAIT_MS, Math.ceil((-this.#credit / this.#rate) * 1000));
    this.#stopTimer = this.#clock.setTimer(() => this.#serve(), Math.max(1, waitMs));
  }

  get #grantBytes(): number {
    if (!Number.isFinite(this.#rate)) return Number.POSITIVE_INFINITY;
    const bytes = Math.round((this.#rate * GRANT_MS) / 1000);
    return Math.min(MAX_GRANT_BYTES, Math.max(MIN_GRANT_BYTES, bytes));
  }
}

acceptOtherCopies({ Bandwidth });

/** Bytes that flow no faster than the limit allows; each piece is valid until the next one is asked for. */
export async function* paced(
  pieces: AsyncIterable<Uint8Array>,
  bandwidth: Bandwidth,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of pieces) {
    for (let from = 0; from < piece.byteLength; ) {
      const to = from + (await bandwidth.grant(piece.byteLength - from, signal));
      yield piece.subarray(from, to);
      from = to;
    }
  }
}
