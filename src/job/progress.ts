import { type Clock, idleClock } from '../common/clock.js';

/** How far a job is. */
export interface UploadProgress {
  /** `spool`: a stream is stored first, because the protocol needs its length. */
  readonly phase: 'spool' | 'upload' | 'reply';
  /** Position in the file: acknowledged bytes plus those of the fragment on the wire. */
  readonly bytesSent: number;
  /** Bytes that the server has acknowledged. */
  readonly bytesAcknowledged: number;
  /** Bytes of the file; while it is spooled, those stored so far. */
  readonly bytesTotal: number;
  /** Smoothed over a few seconds, in the present phase. */
  readonly bytesPerSecond: number;
  /** Time left at this speed; undefined while the speed or the total is unknown. */
  readonly etaMs: number | undefined;
  /** Bytes of the reply received so far. */
  readonly replyBytes: number;
  readonly replyBytesTotal: number | undefined;
}

/** How long a measured speed keeps half of its weight. */
const HALF_LIFE_MS = 3000;

/** What weight all the past has together, when it keeps half of it for {@link HALF_LIFE_MS}. */
const WHOLE_WEIGHT_MS = HALF_LIFE_MS / Math.LN2;

/**
 * Speed over the last seconds: what was before fades, and a standstill brings the speed down.
 *
 * Once bytes move again, a standstill of any length has cost what was before no more than half of its
 * weight: the line is most likely as fast as it was.
 */
export class SpeedMeter {
  readonly #now: () => number;
  #movedAtMs: number;
  #bytes = 0;
  #weightMs = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#movedAtMs = now();
  }

  add(bytes: number): void {
    const nowMs = this.#now();
    const elapsedMs = Math.min(nowMs - this.#movedAtMs, HALF_LIFE_MS);
    const { keep, weightMs } = faded(elapsedMs);
    // As if they had moved evenly in that time.
    const share = elapsedMs === 0 ? 1 : weightMs / elapsedMs;
    this.#bytes = this.#bytes * keep + bytes * share;
    this.#weightMs = this.#weightMs * keep + weightMs;
    this.#movedAtMs = nowMs;
  }

  get bytesPerSecond(): number {
    const { keep, weightMs } = faded(this.#now() - this.#movedAtMs);
    const wholeMs = this.#weightMs * keep + weightMs;
    return wholeMs === 0 ? 0 : ((this.#bytes * keep) / wholeMs) * 1000;
  }

  /** Forgets the past, when another run or another phase begins. */
  reset(): void {
    this.#movedAtMs = this.#now();
    this.#bytes = 0;
    this.#weightMs = 0;
  }
}

/** What the past keeps after so long, and the weight of that time. */
function faded(elapsedMs: number): { readonly keep: number; readonly weightMs: number } {
  const keep = 0.5 ** (elapsedMs / HALF_LIFE_MS);
  return { keep, weightMs: WHOLE_WEIGHT_MS * (1 - keep) };
}

export function etaMs(bytesLeft: number, bytesPerSecond: number): number | undefined {
  if (bytesLeft <= 0) return 0;
  return bytesPerSecond > 0 ? Math.round((bytesLeft / bytesPerSecond) * 1000) : undefined;
}

/** How often progress is told at most. */
const MIN_INTERVAL_MS = 100;

/**
 * Turns what happens on the wire into progress, not more often than anybody can look.
 *
 * What happens too soon after the last telling is told when its time has come, so that nothing goes
 * untold when the wire then stands still.
 */
export class ProgressReport {
  #bytesTotal = 0;
  readonly #clock: Clock;
  readonly #emit: (progress: UploadProgress) => void;
  readonly #speed: SpeedMeter;
  #phase: UploadProgress['phase'] = 'upload';
  #fragmentStart = 0;
  #inFlight = 0;
  #acknowledged = 0;
  #replyBytes = 0;
  #replyBytesTotal: number | undefined;
  #emittedMs = Number.NEGATIVE_INFINITY;
  #dismiss: (() => void) | undefined;

  /** @param clock is a parameter for tests. */
  constructor(emit: (progress: UploadProgress) => void, clock: Clock = idleClock) {
    this.#emit = emit;
    this.#clock = clock;
    this.#speed = new SpeedMeter(clock.now);
  }

  /** @param bytes stored so far of a stream whose length is not known yet */
  spooled(bytes: number): void {
    // The first bytes that are told of may have been stored before a pause.
    if (this.#phase === 'spool') this.#speed.add(bytes - this.#bytesTotal);
    this.#phase = 'spool';
    this.#bytesTotal = bytes;
    this.#tell();
  }

  /** The length is known, and the upload begins. */
  opened(bytesTotal: number): void {
    this.#phase = 'upload';
    this.#bytesTotal = bytesTotal;
  }

  fragmentBegins(start: number): void {
    this.#fragmentStart = start;
    this.#inFlight = 0;
  }

  sent(bytes: number): void {
    this.#inFlight += bytes;
    this.#speed.add(bytes);
    this.#tell();
  }

  acknowledged(offset: number): void {
    if (offset === this.#acknowledged && this.#inFlight === 0) return;
    this.#acknowledged = offset;
    this.#fragmentStart = offset;
    this.#inFlight = 0;
    if (offset === this.#bytesTotal) this.flush();
    else this.#tell();
  }

  replyReceived(bytes: number, bytesTotal: number | undefined): void {
    if (this.#phase === 'upload') this.#speed.reset();
    this.#phase = 'reply';
    this.#speed.add(Math.max(0, bytes - this.#replyBytes));
    this.#replyBytes = bytes;
    this.#replyBytesTotal = bytesTotal;
    if (bytes === bytesTotal) this.flush();
    else this.#tell();
  }

  /** Whether the last byte of the file has been sent. */
  get isAllSent(): boolean {
    return this.#fragmentStart + this.#inFlight >= this.#bytesTotal;
  }

  /** Continues after a pause, which is no slowness, at the bytes that the server has acknowledged. */
  continuesAt(offset: number): void {
    this.#speed.reset();
    this.#fragmentStart = offset;
    this.#inFlight = 0;
    this.#acknowledged = offset;
    if (offset > 0) this.flush();
  }

  /** Nothing moves from here on: tells what has not been told yet. */
  rests(): void {
    if (this.#dismiss !== undefined) this.flush();
  }

  flush(): void {
    this.#dismiss?.();
    this.#dismiss = undefined;
    this.#emittedMs = this.#clock.now();
    this.#emit(this.#present());
  }

  #tell(): void {
    const waitMs = this.#emittedMs + MIN_INTERVAL_MS - this.#clock.now();
    if (waitMs <= 0) this.flush();
    else this.#dismiss ??= this.#clock.schedule(() => this.flush(), waitMs);
  }

  #present(): UploadProgress {
    const { bytesPerSecond } = this.#speed;
    const bytesSent = Math.min(this.#bytesTotal, this.#fragmentStart + this.#inFlight);
    const left = this.#bytesLeft(bytesSent);
    return {
      phase: this.#phase,
      bytesSent,
      bytesAcknowledged: this.#acknowledged,
      bytesTotal: this.#bytesTotal,
      bytesPerSecond: Math.round(bytesPerSecond),
      etaMs: left === undefined ? undefined : etaMs(left, bytesPerSecond),
      replyBytes: this.#replyBytes,
      replyBytesTotal: this.#replyBytesTotal,
    };
  }

  /** In the present phase; undefined while the total is unknown. */
  #bytesLeft(bytesSent: number): number | undefined {
    switch (this.#phase) {
      case 'spool':
        return undefined;
      case 'upload':
        return this.#bytesTotal - bytesSent;
      case 'reply':
        return this.#replyBytesTotal && this.#replyBytesTotal - this.#replyBytes;
    }
  }
}
