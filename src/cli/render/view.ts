import type { UploadProgress, UploadState } from '../../index.js';
import type { Retry } from './messages.js';
import { formatBytes, formatClock, formatPercent } from './units.js';

/** After this time without a byte the display says so. */
const STALL_MS = 2000;

/** One upload, in words. */
export class View {
  readonly #now: () => number;
  #state: UploadState = 'init';
  #progress: UploadProgress | undefined;
  #retry: (Retry & { readonly dueMs: number }) | undefined;
  #movedMs: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#movedMs = now();
  }

  state(state: UploadState): void {
    this.#state = state;
    this.#retry = undefined;
    this.#movedMs = this.#now();
  }

  progress(progress: UploadProgress): void {
    this.#progress = progress;
    this.#retry = undefined;
    this.#movedMs = this.#now();
  }

  retry(retry: Retry): void {
    this.#retry = { ...retry, dueMs: this.#now() + retry.delayMs };
  }

  /** Between a failed attempt and the next progress. */
  get isRetrying(): boolean {
    return this.#retry !== undefined;
  }

  /** The time since the last progress. */
  get idleMs(): number {
    return this.#now() - this.#movedMs;
  }

  /** `45 %`; undefined while the size is unknown. */
  get percent(): string | undefined {
    const counted = this.#counted();
    return counted?.total === undefined ? undefined : formatPercent(counted.bytes, counted.total);
  }

  /** 0 to 1. */
  get fraction(): number {
    const { bytes = 0, total } = this.#counted() ?? {};
    if (total === undefined) return 0;
    return total === 0 ? 1 : bytes / total;
  }

  /** `12.0 MiB of 64.0 MiB` */
  get amount(): string | undefined {
    const counted = this.#counted();
    if (counted === undefined) return undefined;
    const { bytes, total } = counted;
    return total === undefined
      ? formatBytes(bytes)
      : `${formatBytes(bytes)} of ${formatBytes(total)}`;
  }

  /** Speed and time left, or what the upload waits for. */
  get activity(): string {
    const { left } = this;
    return this.#waits() ?? `${this.speed}${left === undefined ? '' : `, ${left} left`}`;
  }

  /** `8.0 MiB/s`; undefined while the upload waits. */
  get speed(): string | undefined {
    if (this.#waits() !== undefined) return undefined;
    const progress = this.#progress;
    return progress === undefined ? 'sending' : `${formatBytes(progress.bytesPerSecond)}/s`;
  }

  /** `0:04`; undefined while it is unknown. */
  get left(): string | undefined {
    const etaMs = this.#waits() === undefined ? this.#progress?.etaMs : undefined;
    return etaMs === undefined ? undefined : formatClock(etaMs);
  }

  /** What the upload waits for. */
  #waits(): string | undefined {
    const nowMs = this.#now();
    if (this.#retry !== undefined) {
      const { attempt, dueMs, error } = this.#retry;
      const seconds = Math.ceil((dueMs - nowMs) / 1000);
      if (seconds > 0) return `retry ${attempt} in ${seconds} s: ${error.message}`;
    }
    const waitedMs = this.idleMs;
    const what = this.#waitsFor();
    const waits = waitedMs >= STALL_MS ? ` (${Math.floor(waitedMs / 1000)} s)` : '';
    if (this.#retry !== undefined) return `retry ${this.#retry.attempt}${waits}`;
    if (what !== undefined) return `${what}${waits}`;
    return waits === '' ? undefined : `no progress for ${Math.floor(waitedMs / 1000)} s`;
  }

  #counted(): { readonly bytes: number; readonly total: number | undefined } | undefined {
    const progress = this.#progress;
    if (progress === undefined) return undefined;
    switch (progress.phase) {
      case 'spool':
        return { bytes: progress.bytesTotal, total: undefined };
      case 'upload':
        return { bytes: progress.bytesSent, total: progress.bytesTotal };
      case 'reply':
        return { bytes: progress.replyBytes, total: progress.replyBytesTotal };
    }
  }

  #waitsFor(): string | undefined {
    switch (this.#state) {
      case 'init':
        return 'reading the source';
      case 'create-session':
      case 'ping':
        return 'connecting';
      case 'fragment': {
        const progress = this.#progress;
        const allSent = progress !== undefined && progress.bytesSent === progress.bytesTotal;
        return allSent ? 'waiting for the answer of the server' : undefined;
      }
      case 'await-reply':
        return 'waiting for the application of the server';
      case 'get-reply':
        return this.#progress?.phase === 'reply' ? undefined : 'requesting the reply';
      case 'close-session':
        return 'waiting for the server to store the file';
      default:
        return this.#state;
    }
  }
}
