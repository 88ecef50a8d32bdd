import { failureOf } from '../../../src/cli/failure.js';
import { BitsTransportError, type UploadProgress, type UploadResult } from '../../../src/index.js';

export const target = { file: 'dir/dump.zip', url: 'http://bits.example/in/dump.zip' };

const MiB = 1024 ** 2;

export function progressAt(sentMiB: number, changes: Partial<UploadProgress> = {}): UploadProgress {
  return {
    phase: 'upload',
    bytesSent: sentMiB * MiB,
    bytesAcknowledged: sentMiB * MiB,
    bytesTotal: 64 * MiB,
    bytesPerSecond: 8 * MiB,
    etaMs: ((64 - sentMiB) / 8) * 1000,
    replyBytes: 0,
    replyBytesTotal: undefined,
    ...changes,
  };
}

export const result: UploadResult = {
  id: '0190163d-8694-739b-aea5-966c26f8ad91',
  url: target.url,
  bytes: 64 * MiB,
  bytesSent: 64 * MiB,
  durationMs: 3200,
  resumed: false,
  closed: 'acknowledged',
  reply: undefined,
};

export const retryIn4s = {
  attempt: 2,
  delayMs: 4000,
  error: failureOf(new BitsTransportError('the connection was reset')),
};

/** A clock that a test moves by hand. */
export function handClock() {
  let nowMs = 1000;
  return {
    now: () => nowMs,
    advance(ms: number) {
      nowMs += ms;
    },
  };
}
